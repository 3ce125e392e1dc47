// A plane that is zoomed with the wheel and dragged; what lies on it is drawn by its owner.

const MOST = 80; // pixels per site

export class Plane {
  x = 0; // of the left edge, in sites
  y = 0;
  scale = 1; // pixels per site
  least = 0.05;
  dragged = false;
  asked = 0; // number of the frame

  /**
   * `element` takes the gestures; `draw` is called at most once a frame; `moved` after every gesture.
   * @param {HTMLElement} element
   * @param {{ draw: () => void, moved: () => void, zoomed: (factor: number, x: number, y: number) => void }} owner
   */
  constructor(element, { draw, moved, zoomed }) {
    this.element = element;
    this.onDraw = draw;
    this.moved = moved;
    this.zoomed = zoomed;
    element.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = element.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
    this.listenForDrags();
  }

  listenForDrags() {
    const { element } = this;
    /** @type {number[] | null} */
    let from = null;
    element.addEventListener("pointerdown", (event) => { from = [event.clientX, event.clientY]; this.dragged = false; });
    element.addEventListener("pointermove", (event) => {
      if (!from || !event.buttons) return;
      const [dx, dy] = [event.clientX - from[0], event.clientY - from[1]];
      if (!this.dragged && Math.hypot(dx, dy) < 5) return;
      if (!this.dragged) element.setPointerCapture(event.pointerId);
      this.dragged = true;
      from = [event.clientX, event.clientY];
      this.pan(-dx, -dy);
    });
    element.addEventListener("pointerup", () => { from = null; });
    element.addEventListener("click", (event) => { if (this.dragged) event.preventDefault(); }, true);
    element.addEventListener("dragstart", (event) => event.preventDefault());
  }

  get width() { return this.element.clientWidth; }
  get height() { return this.element.clientHeight; }

  /** Show so much of the plane, in the middle. @param {number[]} size */
  fit([wide, high]) {
    this.scale = Math.min(this.width / wide, this.height / high, MOST);
    this.least = this.scale / 2;
    this.centre(wide / 2, high / 2);
  }

  /** @param {number} x @param {number} y @param {number} scale */
  centre(x, y, scale = this.scale) {
    this.scale = Math.min(scale, MOST);
    this.x = x - this.width / 2 / this.scale;
    this.y = y - this.height / 2 / this.scale;
    this.draw();
  }

  /** Move by pixels. @param {number} dx @param {number} dy */
  pan(dx, dy) {
    this.x += dx / this.scale;
    this.y += dy / this.scale;
    this.draw();
    this.moved();
  }

  /** Zoom by a factor about a point, in pixels from the corner. @param {number} factor */
  zoom(factor, px = this.width / 2, py = this.height / 2) {
    const scale = Math.min(Math.max(this.scale * factor, this.least), MOST);
    this.x += px / this.scale - px / scale;
    this.y += py / this.scale - py / scale;
    this.scale = scale;
    this.draw();
    this.moved();
    this.zoomed(factor, this.x + px / scale, this.y + py / scale);
  }

  draw() {
    cancelAnimationFrame(this.asked);
    this.asked = requestAnimationFrame(() => this.onDraw());
  }
}
