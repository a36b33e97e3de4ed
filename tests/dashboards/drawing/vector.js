// The page as one SVG: what charts draw into a canvas is kept as paths and texts instead, the rest stays HTML inside.
// Only for `?vector`. Knows of a canvas what uPlot and Grafana ask of it; anything else is an error, not a gap.
const escaped = (text) => String(text).replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/"/g, '&quot;');
const short = (number) => String(Math.round(number * 10) / 10);
const places = (...numbers) => numbers.map(short).join(' ');

class Path {
  constructor(from) {
    this.d = from?.d ?? '';
  }
  addPath(other) {
    this.d += other.d;
  }
  moveTo(x, y) {
    this.d += `M${places(x, y)}`;
  }
  lineTo(x, y) {
    this.d += `${this.d ? 'L' : 'M'}${places(x, y)}`;
  }
  bezierCurveTo(...at) {
    this.d += `C${places(...at)}`;
  }
  rect(x, y, w, h) {
    this.d += `M${places(x, y)}h${short(w)}v${short(h)}h${short(-w)}z`;
  }
  arc(x, y, r) {
    this.d += `M${places(x - r, y)}a${places(r, r, 0, 1, 0, 2 * r, 0)}a${places(r, r, 0, 1, 0, -2 * r, 0)}`;
  }
  closePath() {
    this.d += 'z';
  }
}

const BASELINES = { top: 'text-before-edge', middle: 'central', bottom: 'text-after-edge', alphabetic: 'alphabetic' };
const ANCHORS = { left: 'start', start: 'start', center: 'middle', right: 'end', end: 'end' };
const START = { fillStyle: '#000', strokeStyle: '#000', lineWidth: 1, lineCap: 'butt', lineJoin: 'miter', globalAlpha: 1 };
const TEXT = { font: '10px sans-serif', textAlign: 'start', textBaseline: 'alphabetic' };
let clips = 0;

class Drawing {
  constructor(canvas, real) {
    Object.assign(this, START, TEXT, { canvas, real, dash: [], clipped: [], at: new DOMMatrix(), saved: [], parts: [] });
    this.path = new Path();
  }
  save() {
    const { at, clipped, dash } = this;
    const kept = Object.fromEntries(Object.keys({ ...START, ...TEXT }).map((key) => [key, this[key]]));
    this.saved.push({ ...kept, at: DOMMatrix.fromMatrix(at), clipped: [...clipped], dash });
  }
  restore() {
    Object.assign(this, this.saved.pop());
  }
  translate(x, y) {
    this.at.translateSelf(x, y);
  }
  rotate(angle) {
    this.at.rotateSelf((angle * 180) / Math.PI);
  }
  scale(x, y) {
    this.at.scaleSelf(x, y);
  }
  setLineDash(dash) {
    this.dash = dash;
  }
  measureText(text) {
    this.real.font = this.font;
    return this.real.measureText(text);
  }
  clearRect() {
    this.parts = [];
  }
  beginPath() {
    this.path = new Path();
  }
  clip(path = this.path) {
    const id = `clip${clips++}`;
    this.parts.push(`<clipPath id="${id}"><path d="${path.d}"${this.moved()}/></clipPath>`);
    this.clipped = [...this.clipped, id];
  }
  moved() {
    return this.at.isIdentity ? '' : ` transform="matrix(${places(this.at.a, this.at.b, this.at.c, this.at.d)} ${this.at.e} ${this.at.f})"`;
  }
  put(element) {
    const alpha = this.globalAlpha === 1 ? '' : ` opacity="${this.globalAlpha}"`;
    const opened = this.clipped.map((id) => `<g clip-path="url(#${id})">`).join('');
    this.parts.push(`${opened}<g${alpha}${this.moved()}>${element}</g>${'</g>'.repeat(this.clipped.length)}`);
  }
  stroke(path = this.path) {
    const dash = this.dash.length ? ` stroke-dasharray="${this.dash.join(' ')}"` : '';
    const line = `stroke="${this.strokeStyle}" stroke-width="${this.lineWidth}" stroke-linejoin="${this.lineJoin}"`;
    if (path.d) this.put(`<path d="${path.d}" fill="none" ${line} stroke-linecap="${this.lineCap}"${dash}/>`);
  }
  fill(path = this.path) {
    if (path.d) this.put(`<path d="${path.d}" fill="${this.fillStyle}"/>`);
  }
  fillRect(x, y, w, h) {
    const path = new Path();
    path.rect(x, y, w, h);
    this.fill(path);
  }
  fillText(text, x, y) {
    const where = `text-anchor="${ANCHORS[this.textAlign]}" dominant-baseline="${BASELINES[this.textBaseline]}"`;
    const font = escaped(this.font);
    this.put(`<text x="${short(x)}" y="${short(y)}" ${where} fill="${this.fillStyle}" style="font:${font}">${escaped(text)}</text>`);
  }
  get svg() {
    const { width, height, clientWidth, clientHeight } = this.canvas;
    const size = `width="${clientWidth || width}" height="${clientHeight || height}" viewBox="0 0 ${width} ${height}"`;
    return `<svg xmlns="http://www.w3.org/2000/svg" ${size}>${this.parts.join('')}</svg>`;
  }
}
for (const name of ['moveTo', 'lineTo', 'bezierCurveTo', 'rect', 'arc', 'closePath']) {
  Drawing.prototype[name] = function (...at) {
    this.path[name](...at);
  };
}

function used(board) {
  const rules = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]);
  return rules.filter((rule) => {
    if (!(rule instanceof CSSStyleRule)) return false;
    const plain = rule.selectorText.replace(/::?[a-z-]+(\([^)]*\))?/g, '').replace(/(^|[\s,>+~])(?=[,>+~]|$)/g, '$1*');
    try {
      return board.matches(plain) || board.querySelector(plain);
    } catch {
      return true;
    }
  });
}

if (new URLSearchParams(location.search).has('vector')) {
  const original = HTMLCanvasElement.prototype.getContext;
  window.Path2D = Path;
  HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
    this.drawing ??= new Drawing(this, original.call(this, kind, ...more));
    return this.drawing;
  };
  window.vector = () => {
    const board = document.querySelector('#board');
    const css = used(board).map((rule) => rule.cssText).join('\n');
    for (const canvas of board.querySelectorAll('canvas')) {
      if (canvas.drawing) canvas.outerHTML = `<div style="position:absolute;inset:0">${canvas.drawing.svg}</div>`;
    }
    const page = getComputedStyle(document.body);
    const [width, height] = [board.offsetWidth + 32, board.offsetHeight + 32];
    const root = getComputedStyle(document.documentElement).fontSize;
    const text = `box-sizing:border-box;font:${page.font};color:${page.color};background:${page.backgroundColor}`;
    const inside = new XMLSerializer().serializeToString(board);
    return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" style="font-size:${root}">
<style><![CDATA[${css}]]></style>
<foreignObject width="100%" height="100%"><div xmlns="http://www.w3.org/1999/xhtml" style="${escaped(text)};width:${width}px;height:${height}px;overflow:hidden">${inside}</div></foreignObject>
</svg>
`;
  };
}
