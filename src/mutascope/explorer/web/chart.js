// The map of one locus on a canvas, with tracks in the margins; several charts share one camera.

import { dark } from "./colours.js";
import { el, pen, ringed } from "./dom.js";
import { drawTrack, TRACK } from "./tracks.js";
import { lineBox } from "./world.js";

/** @import { DrawnMap, Moved } from "./types.d.ts" */

const INK = () => (dark() ? "#aeb7c4" : "#444c58");
const ease = (/** @type {number} */ t) => 1 - (1 - t) ** 3;

const SMALL = 0.4; // share of a map below which what was screened is shown larger
const LEAVE = 0.5; // of the size at which the whole map is seen, below which a zoom goes over into the model

/** What part of a map is seen: top left in sites, as drawn, and pixels per site. */
export class Camera {
  x = 0;
  y = 0;
  scale = 0;
  moved = false;
  /** Row and column of the site that is pointed at. @type {[number, number] | null} */
  cursor = null;
  /** @type {Set<Chart>} */
  charts = new Set();

  /**
   * `start`: [x, y, scale] of the middle, where that is known; `onmove` and `onleave` are given such.
   * @param {number[] | null} start
   * @param {{ onmove: (...middle: number[]) => void, onleave: (...middle: number[]) => void }} owner
   */
  constructor(start, { onmove, onleave }) {
    this.start = start;
    this.onmove = onmove;
    this.onleave = onleave;
  }
  redraw() { for (const chart of this.charts) chart.draw(); }
}

export class Chart {
  moving = 0; // number of the frame
  width = 0; // of the box, in pixels
  height = 0;
  least = 0.05; // scale at which the whole map is seen

  /**
   * @param {Camera} camera @param {DrawnMap} map
   * @param {{ onpick: (row: number, col: number) => void, onpoint: (site: [number, number] | null) => void }} owner
   */
  constructor(camera, map, { onpick, onpoint }) {
    this.camera = camera;
    this.map = map;
    this.onpick = onpick;
    this.onpoint = onpoint;
    this.canvas = el("canvas", { class: "chart", tabindex: 0, role: "application", "aria-label": map.label });
    this.element = el("div", { class: "frame" }, this.canvas);
    this.image = this.picture();
    camera.charts.add(this);
    this.listen();
    new ResizeObserver(() => { this.fit(!camera.moved); this.draw(); }).observe(this.element);
  }

  /** Show another map of the same shape; where only the order differs, lines move to their places. @param {DrawnMap} map @param {boolean} animated */
  setMap(map, animated) {
    const old = this.map;
    this.map = map;
    this.image = this.picture();
    if (animated && !matchMedia("(prefers-reduced-motion: reduce)").matches) this.animate(old);
    else this.draw();
  }

  // What is drawn down and across: gate and up stand on their side.
  get down() { return this.map.transposed ? this.map.cols : this.map.rows; }
  get across() { return this.map.transposed ? this.map.rows : this.map.cols; }
  get yOrder() { return this.map.transposed ? this.map.colOrder : this.map.rowOrder; }
  get xOrder() { return this.map.transposed ? this.map.rowOrder : this.map.colOrder; }
  get yTrack() { return this.map.transposed ? this.map.colTrack : this.map.rowTrack; }
  get xTrack() { return this.map.transposed ? this.map.rowTrack : this.map.colTrack; }

  /** Row and column of the site drawn there. @param {number} y @param {number} x @returns {[number, number]} */
  site(y, x) {
    return this.map.transposed ? [this.xOrder[x], this.yOrder[y]] : [this.yOrder[y], this.xOrder[x]];
  }

  /** Where the first screened site is drawn. */
  get first() {
    const { status, cols } = this.map;
    for (let y = 0; y < this.down; y++) for (let x = 0; x < this.across; x++) {
      const [row, col] = this.site(y, x);
      if (status[row * cols + col]) return [y, x];
    }
    return [0, 0];
  }

  /** Where a site is drawn. @param {number} row @param {number} col */
  place(row, col) {
    const [line, across] = this.map.transposed ? [col, row] : [row, col];
    return [this.yOrder.indexOf(line), this.xOrder.indexOf(across)];
  }

  picture() {
    const image = new ImageData(this.across, this.down);
    for (let y = 0; y < this.down; y++) {
      for (let x = 0; x < this.across; x++) {
        const [row, col] = this.site(y, x);
        const at = 3 * (row * this.map.cols + col);
        image.data.set([this.map.pixels[at], this.map.pixels[at + 1], this.map.pixels[at + 2], 255], 4 * (y * this.across + x));
      }
    }
    const canvas = el("canvas", { width: this.across, height: this.down });
    pen(canvas).putImageData(image, 0, 0);
    return canvas;
  }

  /** Move the lines from where they were to where they are. @param {DrawnMap} old */
  animate(old) {
    const [down, across] = old.transposed ? [old.colOrder, old.rowOrder] : [old.rowOrder, old.colOrder];
    const byColumn = across.some((/** @type {number} */ line, /** @type {number} */ i) => line !== this.xOrder[i]);
    const before = byColumn ? across : down;
    const now = byColumn ? this.xOrder : this.yOrder;
    const from = new Map([...before].map((line, at) => [line, at]));
    const began = performance.now();
    const frame = (/** @type {number} */ time) => {
      const t = Math.min((time - began) / 700, 1);
      const places = [...now].map((line, at) => (from.get(line) ?? at) + (at - (from.get(line) ?? at)) * ease(Math.max(t, 0)));
      this.draw(t < 1 ? { byColumn, places } : null);
      if (t < 1) this.moving = requestAnimationFrame(frame);
    };
    cancelAnimationFrame(this.moving);
    this.moving = requestAnimationFrame(frame);
  }

  /** Size the canvas for its box and, the first time or when asked, show the whole map. @param {boolean} whole */
  fit(whole) {
    const ratio = devicePixelRatio || 1;
    this.width = this.element.clientWidth;
    this.height = this.element.clientHeight;
    this.canvas.width = this.width * ratio;
    this.canvas.height = this.height * ratio;
    const { camera } = this;
    this.least = Math.max(Math.min((this.width - TRACK - 4) / this.across, (this.height - TRACK - 4) / this.down), 0.05);
    if (camera.start && !camera.scale) {
      const [x, y, scale] = camera.start;
      Object.assign(camera, { x: x - (this.width - TRACK) / 2 / scale, y: y - (this.height - TRACK) / 2 / scale, scale, moved: true });
    } else if (whole && camera.scale) Object.assign(camera, { x: 0, y: 0, scale: this.least, moved: false });
    else if (!camera.scale) this.fitScreened();
  }

  /** Show what was screened, where that is a small part of the map, and else all of it. */
  fitScreened() {
    const { top, bottom, left, right } = this.map.screened;
    const [x, y, wide, high] = this.map.transposed ? [top, left, bottom - top, right - left] : [left, top, right - left, bottom - top];
    if (wide * high > SMALL * this.across * this.down || wide <= 0) return Object.assign(this.camera, { x: 0, y: 0, scale: this.least, moved: false });
    const scale = Math.min((this.width - TRACK) / (wide + 2), (this.height - TRACK) / (high + 2), 40);
    return Object.assign(this.camera, { x: x - 1, y: y - 1, scale, moved: true });
  }

  /** The site in the middle, as drawn, and pixels per site. */
  get middle() {
    const { x, y, scale } = this.camera;
    return [x + (this.width - TRACK) / 2 / scale, y + (this.height - TRACK) / 2 / scale, scale];
  }

  /** @param {Moved | null} [moved] */
  draw(moved = null) {
    if (!this.width) return;
    const { x, y, scale } = this.camera;
    const context = pen(this.canvas);
    const ratio = devicePixelRatio || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    context.save();
    context.beginPath();
    context.rect(TRACK, TRACK, this.width - TRACK, this.height - TRACK);
    context.clip();
    context.translate(TRACK - x * scale, TRACK - y * scale);
    context.scale(scale, scale);
    context.imageSmoothingEnabled = scale < 1;
    if (moved) this.drawMoved(context, moved);
    else context.drawImage(this.image, 0, 0);
    this.drawLines(context, scale);
    if (!moved) this.drawMarks(context, scale);
    context.restore();
    this.drawMargins(context);
  }

  /** @param {CanvasRenderingContext2D} context @param {Moved} moved */
  drawMoved(context, { byColumn, places }) {
    places.forEach((place, i) => {
      if (byColumn) context.drawImage(this.image, i, 0, 1, this.down, place, 0, 1, this.down);
      else context.drawImage(this.image, 0, i, this.across, 1, 0, place, this.across, 1);
    });
  }

  /** Between sites, once they are large; and around the map. @param {CanvasRenderingContext2D} context @param {number} scale */
  drawLines(context, scale) {
    context.strokeStyle = dark() ? "#000000" : "#d9dde3";
    context.lineWidth = 1 / scale;
    if (scale >= 7) {
      context.beginPath();
      for (let i = 1; i < this.across; i++) { context.moveTo(i, 0); context.lineTo(i, this.down); }
      for (let i = 1; i < this.down; i++) { context.moveTo(0, i); context.lineTo(this.across, i); }
      context.stroke();
    }
    context.strokeStyle = INK();
    context.strokeRect(0, 0, this.across, this.down);
  }

  /** @param {CanvasRenderingContext2D} context @param {number} scale */
  drawMarks(context, scale) {
    const { line, rowOrder, colOrder } = this.map;
    if (line) {
      const [x, y, wide, high] = lineBox({ ...line, index: (line.axis === "row" ? rowOrder : colOrder).indexOf(line.index) }, this.map);
      context.beginPath();
      context.rect(x, y, wide, high);
      ringed(context, "#d6006c", 0.75 / scale);
    }
    for (const { row, col, chosen } of this.map.marks) {
      const [y, x] = this.place(row, col);
      context.beginPath();
      context.arc(x + 0.5, y + 0.5, chosen ? Math.max(0.48, 8 / scale) : Math.max(0.36, 5 / scale), 0, 2 * Math.PI);
      ringed(context, chosen ? "#b3004b" : "#d55e00", 1 / scale);
    }
    const cursor = this.camera.cursor;
    if (!cursor) return;
    context.strokeStyle = INK();
    context.lineWidth = 1 / scale;
    const [y, x] = this.place(...cursor);
    context.strokeRect(x, y, 1, 1);
    context.globalAlpha = 0.45;
    context.beginPath();
    context.moveTo(x + 0.5, 0); context.lineTo(x + 0.5, this.down);
    context.moveTo(0, y + 0.5); context.lineTo(this.across, y + 0.5);
    context.stroke();
    context.globalAlpha = 1;
  }

  /** @param {CanvasRenderingContext2D} context */
  drawMargins(context) {
    const { x, y, scale } = this.camera;
    const { colours } = this.map;
    drawTrack(context, this.xTrack, { order: this.xOrder, offset: x, scale, end: this.width, top: true, colours });
    drawTrack(context, this.yTrack, { order: this.yOrder, offset: y, scale, end: this.height, top: false, colours });
    const [across, down] = this.map.transposed ? ["rows", "columns"] : ["columns", "rows"];
    Object.assign(context, { fillStyle: INK(), font: "11px system-ui, sans-serif", textAlign: "right", textBaseline: "alphabetic" });
    context.fillText(`${across} →`, TRACK - 6, TRACK - 22);
    context.fillText(`${down} ↓`, TRACK - 6, TRACK - 6);
  }

  listen() {
    const { canvas } = this;
    /** @type {{ x: number, y: number, moved: boolean } | null} */
    let drag = null;
    const under = (/** @type {PointerEvent} */ event) => {
      const box = canvas.getBoundingClientRect();
      const { x, y, scale } = this.camera;
      const [across, down] = [Math.floor(x + (event.clientX - box.left - TRACK) / scale), Math.floor(y + (event.clientY - box.top - TRACK) / scale)];
      return across >= 0 && down >= 0 && across < this.across && down < this.down ? this.site(down, across) : null;
    };
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = canvas.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left - TRACK, event.clientY - box.top - TRACK);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => { drag = { x: event.clientX, y: event.clientY, moved: false }; canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointermove", (event) => {
      if (drag && (drag.moved || Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > 4)) {
        this.camera.moved = true;
        this.camera.x -= (event.clientX - drag.x) / this.camera.scale;
        this.camera.y -= (event.clientY - drag.y) / this.camera.scale;
        drag = { x: event.clientX, y: event.clientY, moved: true };
        this.camera.onmove(...this.middle);
      }
      this.point(under(event));
    });
    canvas.addEventListener("pointerup", (event) => {
      const site = under(event);
      if (drag && !drag.moved && site) this.onpick(...site);
      drag = null;
    });
    canvas.addEventListener("pointerleave", () => this.point(null));
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  /** Zoom by a factor about a point, in pixels from the corner of the map. @param {number} factor */
  zoom(factor, px = (this.width - TRACK) / 2, py = (this.height - TRACK) / 2) {
    const { camera } = this;
    const scale = Math.min(Math.max(camera.scale * factor, 0.05), 80);
    camera.x += px / camera.scale - px / scale;
    camera.y += py / camera.scale - py / scale;
    Object.assign(camera, { scale, moved: true });
    camera.redraw();
    if (factor < 1 && scale < LEAVE * this.least) camera.onleave(...this.middle);
    else camera.onmove(...this.middle);
  }

  /** @param {[number, number] | null} site */
  point(site) {
    this.camera.cursor = site;
    this.onpoint(site);
    this.camera.redraw();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    /** @type {Record<string, [number, number]>} */
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const { cursor } = this.camera;
    if (steps[event.key]) {
      const [y, x] = cursor ? this.place(...cursor) : this.first;
      const [dy, dx] = cursor ? steps[event.key] : [0, 0];
      this.point(this.site(Math.min(Math.max(y + dy, 0), this.down - 1), Math.min(Math.max(x + dx, 0), this.across - 1)));
    } else if (event.key === "Enter" && cursor) this.onpick(...cursor);
    else if (event.key === "+" || event.key === "=") this.zoom(1.25);
    else if (event.key === "-") this.zoom(0.8);
    else if (event.key === "0") { this.fit(true); this.camera.redraw(); this.camera.onmove(); }
    else return;
    event.preventDefault();
  }
}
