"use strict";
// Verdicts: the scores of a split over those of normal images, what a threshold flags of them, and a table of answers.

(() => {
  const BINS = 60;
  const FRAME = { width: 1000, height: 100, top: 4 }; // of the drawing, whose axes scale apart
  const MARGIN = 0.02; // of the range, so that a threshold can lie below every score
  const ANSWERS = ["good", "look", "bad"];
  const KINDS = { normal: ["normal", 5], good: ["good", 2], bad: ["bad", 1], unknown: ["truth not known", 0] };

  const raw = (value) => Number(value.toPrecision(4)).toString();
  const element = (name, text, properties = {}) => Object.assign(document.createElement(name), { textContent: text }, properties);
  const drawn = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const above = (scores, threshold) => scores.filter((score) => score > threshold).length;

  /** Title, value that orders the rows, whether the highest comes first, and what is shown if it is not the value. */
  const COLUMNS = [
    ["Image", (image, place) => place, false, (image) => image.id],
    ["Answer", (image) => ANSWERS.indexOf(image.verdict.answer), true, (image) => image.verdict.answer],
    ["Truth", (image) => ["good", "bad"].indexOf(image.label), true, (image) => image.label ?? "–"],
    ["p", (image) => image.verdict.p, false],
    ["Percentile", (image) => image.verdict.percentile, true],
    ["Score", (image) => image.verdict.score, true],
    ["Defects", (image) => image.verdict.defects, true],
    ["Area px", (image) => image.verdict.area_px, true],
    ["Largest at", (image) => image.verdict.largest?.[0] ?? -1, false, ({ verdict: { largest } }) => (largest ? `${largest[0]}, ${largest[1]} (${largest[2]} x ${largest[3]})` : "–")],
    ["Mask", (image) => ["kept", "marked", "emptied"].indexOf(image.verdict.mask), true, (image) => image.verdict.mask],
  ];
  const BY_P = 3;

  class Panel {
    constructor(section) {
      this.section = section;
      [this.chart, this.slider] = [section.querySelector("svg"), section.querySelector("input")];
      this.details = section.querySelector("details");
      [this.split, this.sorted, this.descending] = [section.querySelector("select"), BY_P, false];
    }

    async load() {
      this.gallery = await seamark.galleries.get(this.section.dataset.category).load();
      const form = this.section.querySelector("form");
      form.addEventListener("submit", (event) => event.preventDefault());
      this.split.addEventListener("input", () => this.show());
      for (const rate of ["bad", "look"]) form.elements[rate].addEventListener("click", () => this.move(this.rates[rate].above));
      this.slider.addEventListener("input", () => this.move(Number(this.slider.value)));
      this.details.addEventListener("toggle", () => this.list());
      this.section.querySelector("thead tr").append(...COLUMNS.map(([title, , falling], column) => this.heading(title, falling, column)));
      this.show();
    }

    show() {
      const { normal_scores: normal, rates } = this.gallery.splits[this.split.value].verdict;
      this.images = this.gallery.images.filter((image) => image.split === this.split.value);
      this.rates = rates;
      this.scores = { normal, good: [], bad: [], unknown: [] };
      for (const image of this.images) this.scores[image.label ?? "unknown"].push(image.verdict.score);
      this.draw();
      this.move(rates.bad.above);
      const counts = ANSWERS.map((answer) => `${this.images.filter((image) => image.verdict.answer === answer).length} ${answer}`);
      this.details.querySelector("summary").textContent = `Verdicts on ${this.images.length} images: ${counts.reverse().join(", ")}`;
      this.list();
    }

    draw() {
      const all = Object.values(this.scores).flat().concat(this.rates.bad.above, this.rates.look.above);
      const [least, most] = [all.reduce((a, b) => Math.min(a, b)), all.reduce((a, b) => Math.max(a, b))];
      const margin = MARGIN * (most - least) || 1;
      [this.low, this.high] = [least - margin, most + margin];
      const kinds = Object.entries(this.scores).filter(([, scores]) => scores.length);
      const shares = new Map(kinds.map(([kind, scores]) => [kind, this.histogram(scores)]));
      const highest = Math.max(...[...shares.values()].flat());
      this.line = this.vertical("at", this.low);
      this.chart.replaceChildren(
        ...kinds.map(([kind]) => this.area(kind, shares.get(kind), highest)),
        ...Object.entries(this.rates).map(([name, rate]) => this.vertical(`rate-${name}`, rate.above)),
        this.line,
      );
      const colour = (kind) => `--kind: var(--s${KINDS[kind][1]})`;
      const lines = Object.entries(this.rates).map(([name, rate]) => element("li", `${name} above ${raw(rate.above)}`, { className: `rate-${name}` }));
      const areas = kinds.map(([kind, scores]) => element("li", `${scores.length} ${KINDS[kind][0]}`, { style: colour(kind) }));
      this.section.querySelector(".legend").replaceChildren(...areas, ...lines);
      Object.assign(this.slider, { min: this.low, max: this.high });
      const [first, , last] = this.section.querySelectorAll(".ends span");
      [first.textContent, last.textContent] = [raw(this.low), raw(this.high)];
    }

    /** Shares of scores in bins of one width. */
    histogram(scores) {
      const shares = new Array(BINS).fill(0);
      for (const score of scores) shares[Math.min(BINS - 1, Math.floor((BINS * (score - this.low)) / (this.high - this.low)))] += 1 / scores.length;
      return shares;
    }

    area(kind, shares, highest) {
      const steps = shares.map((share, bin) => {
        const y = FRAME.height - (share / highest) * (FRAME.height - FRAME.top);
        return `V${y}H${((bin + 1) * FRAME.width) / BINS}`;
      });
      return drawn("path", { d: `M0 ${FRAME.height}${steps.join("")}V${FRAME.height}Z`, style: `--kind: var(--s${KINDS[kind][1]})` });
    }

    x(score) {
      return (FRAME.width * (score - this.low)) / (this.high - this.low);
    }

    vertical(name, score) {
      return drawn("line", { class: name, x1: this.x(score), x2: this.x(score), y1: 0, y2: FRAME.height });
    }

    /** Count anew what lies above a threshold. */
    move(threshold) {
      this.slider.value = threshold;
      for (const end of ["x1", "x2"]) this.line.setAttribute(end, this.x(threshold));
      const { normal, good, bad, unknown } = this.scores;
      const flagged = above(normal, threshold);
      const p = raw((1 + flagged) / (normal.length + 1));
      this.slider.setAttribute("aria-valuetext", `score above ${raw(threshold)}, p at most ${p}`);
      const facts = [["Flagged: scores above", raw(threshold)], ["with p at most", p], ["Normal images above", `${flagged} of ${normal.length}`]];
      if (good.length) facts.push(["False alarms", `${above(good, threshold)} of ${good.length} good`]);
      if (bad.length) facts.push(["Misses", `${bad.length - above(bad, threshold)} of ${bad.length} bad`]);
      if (unknown.length) facts.push(["Flagged, truth not known", `${above(unknown, threshold)} of ${unknown.length}`]);
      const parts = facts.map(([name, value]) => {
        const part = document.createElement("div");
        part.append(element("dt", name), element("dd", value));
        return part;
      });
      this.section.querySelector("dl").replaceChildren(...parts);
    }

    heading(title, falling, column) {
      const [head, button] = [document.createElement("th"), element("button", title, { type: "button" })];
      button.addEventListener("click", () => {
        this.descending = this.sorted === column ? !this.descending : falling;
        this.sorted = column;
        this.list();
      });
      head.append(button);
      return head;
    }

    /** Fill the table, which costs time for many images, once it is opened. */
    list() {
      if (!this.details.open) return;
      const [, value] = COLUMNS[this.sorted];
      const ranked = this.images.map((image, place) => ({ image, place, value: value(image, place) }));
      const sign = this.descending ? -1 : 1;
      ranked.sort((a, b) => sign * (a.value - b.value) || b.image.verdict.score - a.image.verdict.score || a.place - b.place);
      this.section.querySelector("tbody").replaceChildren(...ranked.map(({ image, place }) => this.row(image, place)));
      for (const [column, head] of [...this.section.querySelectorAll("thead th")].entries()) {
        if (column === this.sorted) head.setAttribute("aria-sort", this.descending ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      }
    }

    row(image, place) {
      const row = document.createElement("tr");
      for (const [title, value, , text] of COLUMNS) {
        const cell = element("td", text ? text(image) : raw(value(image, place)), { className: text ? "" : "number" });
        if (title === "Image") cell.replaceChildren(element("a", image.id, { href: seamark.hashOf(this.gallery.category, image) }));
        if (title === "Answer") cell.replaceChildren(seamark.badge(image.verdict.answer));
        row.append(cell);
      }
      return row;
    }
  }

  const near = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        near.unobserve(target);
        new Panel(target).load().catch(() => {});
      }
    },
    { rootMargin: "200px" },
  );
  for (const section of document.querySelectorAll(".verdict")) near.observe(section);
})();
