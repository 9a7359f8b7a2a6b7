"""What a page says of itself in the browser: scripts that Chromium runs, and that answer with plain lists."""

# scripts, fonts, mathematics and pictures are done; those that wait until they come into view come now
READY = """
const done = arguments[arguments.length - 1];
const all = (selector) => Array.from(document.querySelectorAll(selector));
const seen = (each) => each.getClientRects().length > 0;
const mathematics = window.MathJax && MathJax.startup ? MathJax.startup.promise : Promise.resolve();
all("img").forEach((each) => { each.loading = "eager"; });
const pictures = Promise.all(all("img").map((each) => each.decode().catch(() => 0)));
const ready = mathematics.then(() => document.fonts.ready).then(() => pictures);
"""

LOOK = (
    READY
    + """
const weight = performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
  .reduce((sum, entry) => sum + entry.encodedBodySize, 0);
const generic = /^(|image|picture|figure|_images.*|.*\\.png|[0-9a-f]{16,}.*)$/i;
ready.then(() => {
  done({
    seconds: performance.now() / 1000,
    weight: weight,
    nameless: all("article img").filter((each) => generic.test(each.alt) || each.alt.split(" ").length < 3)
      .map((each) => each.src),
    described: (document.querySelector('meta[name="description"]') || {}).content || "",
    scripts: all("script[src]").map((each) => each.src).filter((each) => each.includes("plotly")),
    hidden: all("article table").filter((each) => seen(each) && !each.closest(".verdicts")).filter((each) => {
      const head = each.tHead && each.tHead.rows[0];
      const ours = head && Array.from(head.cells).find((cell) => cell.textContent.trim() === "Ours");
      return ours && ours.getBoundingClientRect().right > document.documentElement.clientWidth;
    }).length,
    width: document.scrollingElement.scrollWidth,
    window: document.documentElement.clientWidth,
    broken: all("img").filter((each) => !each.naturalWidth).map((each) => each.src),
    pictures: all("article img, article .js-plotly-plot, article table").length,
    math: all("article .math").length,
    plain: all("article .math").filter((each) => !each.querySelector("mjx-container")).length,
    wrong: all("mjx-merror").map((each) => each.textContent),
  });
});
"""
)

# WCAG 2.2, 1.4.3: words stand out from what is behind them by 4.5 to 1, large ones (24 px, or bold 18.66 px) by 3 to 1.
# Takes a theme; answers with [ratio, needed, element, words] of each element that falls short, once for those alike.
CONTRAST = """
document.documentElement.dataset.theme = arguments[0];
document.head.appendChild(document.createElement("style")).textContent =
  "*, *::before, *::after { transition: none !important; animation: none !important; }";
const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
const known = new Map();
// any colour that CSS can write, as red, green, blue and alpha
function read(colour) {
  if (!known.has(colour)) {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = context.getImageData(0, 0, 1, 1).data;
    known.set(colour, [red, green, blue, alpha / 255]);
  }
  return known.get(colour);
}
const over = (top, below) => [0, 1, 2].map((k) => top[3] * top[k] + (1 - top[3]) * below[k]);
const styles = new Map();
const style = (each) => styles.get(each) || styles.set(each, getComputedStyle(each)).get(each);
const backs = new Map();
// what an element stands on, and how much of it all those around it let through
function ground(each) {
  if (!each) return { colour: [255, 255, 255], opacity: 1 };
  if (!backs.has(each)) {
    const around = ground(each.parentElement), own = style(each);
    const opacity = around.opacity * Number(own.opacity);
    const paint = read(own.backgroundColor);
    backs.set(each, { colour: over([...paint.slice(0, 3), paint[3] * opacity], around.colour), opacity: opacity });
  }
  return backs.get(each);
}
function luminance(colour) {
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const [red, green, blue] = colour.map((c) => linear(c / 255));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
const faint = new Map();
function check(each, words) {
  const own = style(each);
  if (own.visibility !== "visible" || !each.getClientRects().length || each.closest("[disabled], .visually-hidden")) return;
  const back = ground(each), ink = read(each instanceof SVGElement ? own.fill : own.color);
  if (!back.opacity) return;
  const drawn = over([...ink.slice(0, 3), ink[3] * back.opacity], back.colour);
  const [light, dark] = [luminance(drawn), luminance(back.colour)].sort((a, b) => b - a);
  const ratio = (light + 0.05) / (dark + 0.05), size = parseFloat(own.fontSize);
  const needed = size >= 24 || (size >= 18.66 && Number(own.fontWeight) >= 700) ? 3 : 4.5;
  const name = each.localName + Array.from(each.classList, (one) => "." + one).join("");
  const key = [name, each.parentElement && each.parentElement.localName, drawn, back.colour].join();
  if (ratio < needed && !faint.has(key)) faint.set(key, [ratio, needed, name, words.slice(0, 40)]);
}
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const parent = texts.currentNode.parentElement, words = texts.currentNode.textContent.trim();
  if (words && !/^(script|style|noscript|title|desc|option)$/.test(parent.localName)) check(parent, words);
}
// mathematics is drawn by pseudo-elements, without a text
for (const each of document.querySelectorAll("mjx-container")) check(each, "mathematics");
return Array.from(faint.values());
"""

# On paper: [what, element, words] of each part that its box or the sheet cuts, that loses the colour it consists of, or that
# asks for a click or is code.
PAPER = """
const sheet = document.documentElement.clientWidth, found = [];
const told = (each) => each.localName + Array.from(each.classList, (one) => "." + one).join("");
const tell = (what, each) => found.push([what, told(each), (each.alt || each.textContent).trim().slice(0, 40)]);
const shown = (each) => each.checkVisibility({ visibilityProperty: true }) && each.getClientRects().length > 0;
for (const each of document.querySelectorAll("article *")) {
  // letters lean out of the box of their line
  if (each.matches("span.math, mjx-container *, svg *") || !shown(each)) continue;
  const own = getComputedStyle(each), box = each.getBoundingClientRect(), room = each.clientWidth;
  if (own.overflowX !== "visible" && room > 1 && each.scrollWidth > room + 1) tell("is cut by its own box", each);
  if (each.matches("table, img, pre, figure, p, li") && box.width > 1 && box.right > sheet + 1) {
    tell("is cut by the sheet", each);
  }
  if (own.printColorAdjust !== "exact" && each.matches(".verdict, .square")) tell("loses its colour", each);
}
for (const each of document.querySelectorAll("button, input, select, nav, section#code, .cell_input, .headerlink")) {
  if (shown(each) && each.getBoundingClientRect().height > 1 && !each.closest(".onlyprint")) tell("is of no use", each);
}
return found;
"""
