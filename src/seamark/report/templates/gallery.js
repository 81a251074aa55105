"use strict";
// Galleries: thumbnails of all images of a category, sorted and filtered. Data comes from one script per category,
// because a page that was opened from the file system may load scripts but not fetch files.

const seamark = (() => {
  const galleries = new Map();

  const number = (value) => (value === null || value === undefined ? null : value);
  const scored = (image) => image.scores !== null && !image.scores.left_out;
  const score = (name) => (image) => (scored(image) ? number(image.scores[name]) : null);
  const missedDefects = (image) => (scored(image) ? image.scores.defects - image.scores.refined_defects_found : null);
  const wrong = (image) => image.scores.refined_false_positive_px + image.scores.refined_false_negative_px;

  /** Value of an image per order, and whether the highest comes first. Images without a value come last. */
  const ORDERS = {
    name: [(image, position) => position, false],
    peak: [(image) => number(image.peak), true],
    p: [(image) => image.verdict.p, false],
    f1: [score("refined_f1"), false],
    coarse_f1: [score("coarse_f1"), false],
    false_positives: [score("refined_false_positive_px"), true],
    missed: [score("refined_false_negative_px"), true],
    missed_defects: [missedDefects, true],
    mask: [(image) => image.refined.px, true],
  };

  const CONDITIONS = {
    false_positives: (image) => scored(image) && image.scores.refined_false_positive_px > 0,
    missed_defects: (image) => scored(image) && missedDefects(image) > 0,
    wrong: (image) => scored(image) && wrong(image) > 0,
    right: (image) => scored(image) && wrong(image) === 0,
    left_out: (image) => image.scores !== null && Boolean(image.scores.left_out),
    found: (image) => image.refined.px > 0,
    empty: (image) => image.refined.px === 0,
  };

  /** The answer on an image, in words that are not those of the truth. */
  const badge = (answer) => {
    const made = document.createElement("span");
    made.className = `badge ${answer === "look" ? "warn" : answer}`;
    made.textContent = answer === "look" ? "look at it" : `called ${answer}`;
    return made;
  };

  const hashOf = (category, image) => "#image=" + [category, image.split, image.id].map(encodeURIComponent).join("/");

  class Gallery {
    constructor(section) {
      this.section = section;
      this.category = section.dataset.category;
      this.form = section.querySelector("form");
      this.box = section.querySelector(".shots");
      this.images = [];
      this.order = [];
      this.shots = new Map();
      this.descending = ORDERS[this.form.elements.sort.value][1];
      this.listen();
    }

    listen() {
      const form = this.form;
      form.addEventListener("submit", (event) => event.preventDefault());
      form.addEventListener("input", (event) => {
        if (event.target.name === "sort") this.descending = ORDERS[event.target.value][1];
        this.arrange();
      });
      form.addEventListener("reset", () => {
        requestAnimationFrame(() => {
          this.descending = ORDERS[form.elements.sort.value][1];
          this.arrange();
        });
      });
      form.elements.direction.addEventListener("click", () => {
        this.descending = !this.descending;
        this.arrange();
      });
      this.box.addEventListener("keydown", (event) => this.move(event));
      this.box.addEventListener("focusin", (event) => {
        if (event.target.classList.contains("shot")) this.mark(event.target);
      });
    }

    load() {
      this.loading ??= new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = this.section.dataset.script;
        script.onload = () => resolve(this);
        script.onerror = () => {
          this.form.querySelector("output").textContent = `cannot read ${script.src}`;
          reject(new Error(script.src));
        };
        document.head.append(script);
      });
      return this.loading;
    }

    receive(data) {
      this.splits = data.splits;
      this.images = data.images;
      this.positions = new Map(data.images.map((image, position) => [image, position]));
      for (const image of data.images) this.shots.set(image, this.shot(image));
      this.arrange();
    }

    shot(image) {
      const link = document.createElement("a");
      link.className = "shot";
      link.href = hashOf(this.category, image);
      link.tabIndex = -1;
      const thumbnail = document.createElement("img");
      thumbnail.loading = "lazy";
      thumbnail.decoding = "async";
      thumbnail.alt = `${image.id}, ${image.split}`;
      thumbnail.src = this.splits[image.split].base + image.layers.thumbnail;
      const name = document.createElement("b");
      name.textContent = name.title = image.id;
      const facts = document.createElement("span");
      facts.textContent = [image.label, image.light, image.split].filter(Boolean).join(" · ");
      const numbers = document.createElement("span");
      numbers.textContent = summary(image);
      link.append(thumbnail, badge(image.verdict.answer), name, facts, numbers);
      return link;
    }

    arrange() {
      const fields = this.form.elements;
      const value = ORDERS[fields.sort.value][0];
      const ranked = this.images.filter((image) => this.passes(image)).map((image) => {
        const position = this.positions.get(image);
        return { image, position, value: value(image, position) };
      });
      const sign = this.descending ? -1 : 1;
      ranked.sort((a, b) => {
        if (a.value === null || b.value === null) return (a.value === null) - (b.value === null) || a.position - b.position;
        return sign * (a.value - b.value) || a.position - b.position;
      });
      this.order = ranked.map((one) => one.image);
      this.box.replaceChildren(...this.order.map((image) => this.shots.get(image)));
      this.box.scrollTop = 0;
      if (this.box.firstChild) this.mark(this.box.firstChild);
      fields.direction.textContent = this.descending ? "↓" : "↑";
      fields.direction.setAttribute("aria-label", `Direction: ${this.descending ? "highest" : "lowest"} first`);
      this.form.querySelector("output").textContent = `${this.order.length} of ${this.images.length} images`;
    }

    passes(image) {
      const fields = this.form.elements;
      if (fields.split.value && image.split !== fields.split.value) return false;
      if (fields.light.value && image.light !== fields.light.value) return false;
      if (fields.label.value && (image.label ?? "unknown") !== fields.label.value) return false;
      if (fields.answer.value && image.verdict.answer !== fields.answer.value) return false;
      if (fields.show.value && !CONDITIONS[fields.show.value](image)) return false;
      if (fields.peak.value && !(number(image.peak) !== null && image.peak >= Number(fields.peak.value))) return false;
      if (fields.f1?.value) {
        const f1 = ORDERS.f1[0](image);
        if (f1 === null || f1 > Number(fields.f1.value)) return false;
      }
      return image.id.toLowerCase().includes(fields.name.value.toLowerCase());
    }

    mark(shot) {
      if (this.marked) this.marked.tabIndex = -1;
      this.marked = shot;
      shot.tabIndex = 0;
    }

    move(event) {
      const position = this.order.findIndex((image) => this.shots.get(image) === event.target);
      if (position < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
      const columns = getComputedStyle(this.box).gridTemplateColumns.split(" ").length;
      const last = this.order.length - 1;
      const targets = {
        ArrowLeft: position - 1,
        ArrowRight: position + 1,
        ArrowUp: position - columns,
        ArrowDown: position + columns,
        Home: 0,
        End: last,
      };
      if (!(event.key in targets)) return;
      event.preventDefault();
      const target = targets[event.key];
      if (target >= 0 && target <= last) this.shots.get(this.order[target]).focus();
    }

    find(split, id) {
      return this.images.find((image) => image.split === split && image.id === id);
    }
  }

  const summary = (image) => {
    const parts = image.peak === null ? [] : [`peak ${image.peak.toPrecision(4)}`];
    if (image.scores) {
      const { left_out: leftOut, refined_f1: f1 } = image.scores;
      parts.push(leftOut ?? (f1 === null ? "rightly empty" : `F1 ${f1.toFixed(3)}`));
    }
    return parts.join(" · ");
  };

  const start = () => {
    const near = new IntersectionObserver(
      (entries) => {
        for (const entry of entries) {
          if (!entry.isIntersecting) continue;
          near.unobserve(entry.target);
          galleries.get(entry.target.dataset.category).load().catch(() => {});
        }
      },
      { rootMargin: "800px" },
    );
    for (const section of document.querySelectorAll(".gallery")) {
      galleries.set(section.dataset.category, new Gallery(section));
      near.observe(section);
    }
  };

  start();
  return { galleries, hashOf, badge, receive: (data) => galleries.get(data.category).receive(data) };
})();
