"""Tasks of lm-evaluation-harness: without the extra a sentence, with it a score per mutant from local data."""

from __future__ import annotations

import importlib.util
import json
import sys

import pytest

from mutascope import Mutant, MutascopeError, Screen, TextAssay

ASSAY = TextAssay(name="t", prompt="ab", max_length=9)
TASK = """task: tiny_quiz
dataset_path: json
dataset_kwargs:
  data_files: {file}
test_split: train
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list:
  - metric: acc
"""


def test_without_the_extra_it_says_what_to_install(llama, monkeypatch):
    from mutascope.interop.lm_eval import score_mutants

    monkeypatch.setitem(sys.modules, "lm_eval.models.huggingface", None)
    with pytest.raises(MutascopeError, match=r"pip install 'mutascope\[lm-eval\]'"):
        score_mutants(Screen(llama, ASSAY, tile=8), ["arc_easy"], [])


@pytest.mark.parametrize(
    "mutant, says", [(Mutant(9, "v", 0, 0, "max"), "layer 9"), (Mutant(0, "v", 0, 0, "mxa"), "'mxa'")]
)
def test_mutants_are_checked_before_anything_is_evaluated(llama, monkeypatch, mutant, says):
    from mutascope.interop import lm_eval as harness

    monkeypatch.setattr(harness, "_harness", lambda: pytest.fail("evaluated"))
    with pytest.raises(MutascopeError, match=says):
        harness.score_mutants(Screen(llama, ASSAY, tile=8), ["t"], [Mutant(0, "v", 0, 0, "max"), mutant])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="lm_eval is not installed")
def test_a_task_of_local_files(llama, tmp_path, monkeypatch):
    import torch

    from mutascope.interop.lm_eval import score_mutants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows = [{"question": q, "choices": ["x", "yy", "z"], "answer": i % 3} for i, q in enumerate("abcdefgh")]
    data = tmp_path / "quiz.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "quiz.yaml").write_text(TASK.format(file=data))
    screen = Screen(llama, ASSAY, tile=8)
    mutants = [Mutant(1, "down", 2, 3, "max"), Mutant(0, "v", 0, 1, "noop")]
    found = score_mutants(screen, ["tiny_quiz"], mutants, include=str(tmp_path))
    scores = found.filter(metric="acc")["score"].to_list()
    assert len(scores) == 3
    assert scores[0] == scores[2]

    def accuracy(network):
        """Summed log-probabilities of each choice after a blank, as the harness scores them."""
        right = 0
        for row in rows:
            totals = []
            for choice in row["choices"]:
                context = llama.tokenizer(row["question"])["input_ids"]
                whole = llama.tokenizer(f"{row['question']} {choice}")["input_ids"]
                with torch.inference_mode():
                    logits = network(torch.tensor([whole])).logits[0].log_softmax(-1)
                totals.append(sum(float(logits[i - 1, whole[i]]) for i in range(len(context), len(whole))))
            right += totals.index(max(totals)) == row["answer"]
        return right / len(rows)

    assert scores[0] == accuracy(llama.network)
    with screen.mutant(mutants[0]) as network:
        assert scores[1] == accuracy(network)
    with pytest.raises(MutascopeError, match="no task 'nothing'"):
        score_mutants(screen, ["nothing"], [], include=str(tmp_path))
