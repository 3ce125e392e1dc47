// A view is an address: everything that is looked at stands behind the # and can be shared, kept and gone back to.

const DEFAULTS = { view: "model", screen: "0", colour: "status", mutation: "any", order: "index", palette: "colourblind" };

/** What the address says. */
export function state() {
  return { ...DEFAULTS, ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))) };
}

/** The address with some entries changed; null or a default removes one. */
export function address(changes) {
  const next = { ...state(), ...changes };
  const told = Object.entries(next).filter(([key, value]) => value !== null && value !== "" && value !== DEFAULTS[key]);
  // commas and colons of a mutant need no escape behind a #, and an address is also read by people
  return `#${new URLSearchParams(told).toString().replaceAll("%3A", ":").replaceAll("%2C", ",")}`;
}

/** Go there; `quiet` leaves no entry in the history, for sliders. */
export function go(changes, quiet = false) {
  const target = address(changes);
  if (quiet) {
    history.replaceState(null, "", target);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else location.hash = target;
}

/** Locus, row, column and mutation of `15.down:3,7:max`; null for anything else. */
export function parseMutant(text) {
  const match = /^(\d+\.[\w.-]+):(\d+),(\d+):([\w-]+)$/.exec(text ?? "");
  return match && { locus: match[1], row: +match[2], col: +match[3], mutation: match[4] };
}
