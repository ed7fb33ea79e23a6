/** The panels' contents: a report in, DOM elements out. All text of a report is inserted as text, never as HTML. */

const READABLE = [1, 2]; // versions of reports, host/report/reports.py
const MAX_CELLS = 60; // steps drawn one by one up to here
const MAX_PRESENCES = 16; // concepts and pictures shown
const TALLEST = 4; // deviations of clean pictures of a full column
const HOTTEST = 3; // and of a full red cell of a map
const MAX_MISSED = 8; // phrases named in a line, as safree/reach.py
const PNG = "data:image/png;base64,"; // how a picture in a report begins; any other address is not loaded

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

const percent = (share) => `${Math.round(100 * share)} %`;

export const plainMessage = (text) => make("p", "safree-message", text);

/** `draw`, but of a report that is damaged or of another version only the verdict, and a line that says why. */
function readable(draw, versions) {
  const onlyVerdict = (report, why) => [
    ...(typeof report?.verdict === "string" ? [make("p", "safree-verdict", report.verdict)] : []),
    plainMessage(`${why} Run the workflow again.`),
  ];
  return (report) => {
    if (versions && !versions.includes(report?.version)) {
      const found = report?.version === undefined ? "no version" : `version ${report.version}`;
      return onlyVerdict(report, `This report has ${found}, this panel reads version ${versions.join(" or ")}.`);
    }
    try {
      return draw(report);
    } catch (error) {
      console.warn("SAFREE: unreadable report", error);
      return onlyVerdict(report, "This report cannot be read.");
    }
  };
}

/** SafreeConditioning: the prompt's words coloured by score, the flagged ones marked, t' and a verdict. */
export const tokenPanel = readable((report) => {
  const parts = [verdict(report, report.flagged > 0)];
  const encoders = [...new Set(report.tokens.map((token) => token.encoder))];
  for (const encoder of encoders) {
    const tokens = report.tokens.filter((token) => token.encoder === encoder);
    parts.push(heatMap(tokens, encoders.length > 1 ? `Text encoder ${encoder}` : ""));
  }
  if (report.flagged) {
    const share = report.t_prime.share;
    parts.push(bar([share], `t' ${percent(share)}`, `Filter on for the first ${percent(share)} of the schedule`));
  }
  parts.push(...notes(report));
  return parts;
}, READABLE);

/** SelfValidatingSampler and LatentLook: which steps ran with the filtered prompt, and what the latent guard saw. */
export const samplingPanel = readable((report) => {
  const filtered = report.filtered_steps ?? [];
  const seen = [...(report.presence ?? []), ...(report.second_look ?? [])].slice(0, MAX_PRESENCES);
  const hit = seen.some((part) => part.found_at || part.given || part.found);
  const parts = [verdict(report, report.active === false || hit || filtered.some((count) => count > 0))];
  for (const count of filtered) {
    const label = `t' ${count} of ${report.steps} steps`;
    parts.push(bar([count / report.steps], label, `Filtered: ${label}`, report.steps));
  }
  parts.push(...seen.map(presence), ...notes(report));
  return parts;
}, READABLE);

/** SafetyGate: the pictures that were acted on, a few pixels of each, and who saw what in them. */
export const gatePanel = readable((report) => {
  const parts = [verdict(report, report.state === "found")];
  const shown = (report.thumbnails ?? []).filter(({ image }) => image.startsWith(PNG)).slice(0, MAX_PRESENCES);
  if (shown.length) {
    const row = make("div", "safree-pictures");
    row.append(...shown.map((picture) => blurred(picture, report.findings)));
    parts.push(row);
  }
  const left = report.acted_on.length - shown.length;
  if (left > 0) parts.push(make("p", "safree-detail", `and ${left} more`));
  if (report.looked_at < report.pictures) {
    parts.push(make("p", "safree-detail", `${report.looked_at} of ${report.pictures} frames looked at`));
  }
  parts.push(...notes(report));
  return parts;
}, READABLE);

/** ConceptSubspace: the phrases, and per text encoder rank and explained variance. */
export const subspacePanel = readable((summary) => {
  const chips = make("ul", "safree-words safree-chips");
  chips.setAttribute("aria-label", `Phrases of ${summary.name}`);
  chips.dataset.captureWheel = "true";
  chips.append(...summary.phrases.map((phrase) => make("li", "safree-chip", phrase)));
  const count = summary.names ? `${summary.names} names, found by their spelling` : `${summary.phrases.length} phrases`;
  const parts = [make("p", "safree-verdict", `${summary.name}: ${count}`), chips];
  if (summary.names) return [parts[0], ...notes(summary)];
  for (const [key, { rank, width, explained }] of Object.entries(summary.encoders)) {
    const half = 1 + explained.findIndex((_, i) => explained.slice(0, i + 1).reduce((a, b) => a + b, 0) >= 0.9);
    const label = `encoder ${key}: rank ${rank} of ${width}, 90 % in ${half}`;
    parts.push(spectrum(explained, label));
    if (summary.reach?.[key]) parts.push(...reach(summary.reach[key]));
  }
  parts.push(...notes(summary));
  return parts;
});

/** What a concept catches: phrases left out in turn, and everyday words on either side of the limit. */
function reach({ judged, missed, catches, below, harmless }) {
  const lines = [];
  if (judged.length) {
    const others = missed.length > MAX_MISSED ? `, and ${missed.length - MAX_MISSED} more` : "";
    const not = missed.length ? `; not: ${missed.slice(0, MAX_MISSED).join(", ")}${others}` : "";
    lines.push(`Found if left out: ${judged.length - missed.length} of ${judged.length}${not}`);
  }
  lines.push(`Also catches: ${catches.join(", ") || "no everyday word"}`, `Just below: ${below.join(", ")}`);
  lines.push(`Harmless prompts that lose words: ${(100 * harmless).toFixed(1)} %`);
  const drawn = lines.map((line) => make("p", "safree-detail", line));
  if (missed.length > MAX_MISSED) drawn[0].title = `Not found if left out: ${missed.join(", ")}`;
  return drawn;
}

const notes = (report) => (report.notes ?? []).map((note) => make("p", "safree-detail", note));

/** `alarming`: of a report of version 1, which has no state. */
function verdict(report, alarming) {
  const line = make("p", "safree-verdict", report.verdict);
  line.setAttribute("role", "status");
  line.classList.toggle("safree-alarming", report.state ? ["filtered", "inactive", "found"].includes(report.state) : alarming);
  return line;
}

function describe({ text, flagged, score, threshold, concept, read_as }) {
  if (read_as) text = `${text}, read as ${read_as}`;
  if (!concept) return `${text}: a word without a concept of its own, not scored`;
  const mark = flagged ? "flagged, " : "";
  return `${text}: ${mark}score ${score.toFixed(2)}, threshold ${threshold.toFixed(2)}, ${concept}`;
}

/** One tab stop for all words; arrow keys, Home and End move between them. */
function heatMap(tokens, title) {
  const box = make("div");
  const words = make("div", "safree-words");
  const detail = make("p", "safree-detail", tokens.length ? "Point at a word for its score." : "No words.");
  words.setAttribute("role", "group");
  words.setAttribute("aria-label", `${title || "Words of the prompt"}; arrow keys move`);
  words.dataset.captureWheel = "true";
  words.append(...tokens.map(wordButton));
  const first = words.querySelector(".safree-flagged") ?? words.firstElementChild;
  if (first) first.tabIndex = 0;

  const buttonOf = (event) => event.target.closest(".safree-word");
  const tell = (button) => button && (detail.textContent = button.getAttribute("aria-label"));
  words.addEventListener("pointerover", (event) => tell(buttonOf(event)));
  words.addEventListener("focusin", (event) => tell(buttonOf(event)));
  words.addEventListener("keydown", (event) => {
    const from = buttonOf(event);
    const to = {
      ArrowRight: from?.nextElementSibling,
      ArrowDown: from?.nextElementSibling,
      ArrowLeft: from?.previousElementSibling,
      ArrowUp: from?.previousElementSibling,
      Home: words.firstElementChild,
      End: words.lastElementChild,
    }[event.key];
    if (!to) return;
    event.preventDefault();
    event.stopPropagation(); // not a shortcut of the canvas
    from.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  });
  if (title) box.append(make("p", "safree-detail", title));
  box.append(words, detail);
  return box;
}

function wordButton(token) {
  const button = make("button", "safree-word", token.text);
  const ratio = token.threshold > 0 ? Math.min(Math.max(token.score / token.threshold, 0), 1) : 0;
  const heat = token.flagged ? 0.6 : 0.35 * ratio ** 2; // as host/report/report_plot.py
  button.type = "button";
  button.tabIndex = -1;
  button.style.setProperty("--safree-heat", `${Math.round(100 * heat)}%`);
  button.classList.toggle("safree-flagged", token.flagged);
  button.setAttribute("aria-label", describe(token));
  return button;
}

/** A horizontal bar filled for a share of the schedule; with `cells` up to MAX_CELLS, one cell a step. */
function bar([share], label, spoken, cells = 0) {
  const row = make("div", "safree-row");
  const track = make("div", "safree-bar");
  track.setAttribute("role", "img");
  track.setAttribute("aria-label", spoken);
  if (cells && cells <= MAX_CELLS) {
    for (let i = 0; i < cells; i++) track.append(make("span", i < Math.round(share * cells) ? "safree-on" : ""));
  } else {
    const fill = make("span", "safree-on");
    fill.style.flex = `0 0 ${100 * share}%`;
    track.append(fill);
  }
  row.append(track, make("span", "safree-detail", label));
  return row;
}

/** One line about a concept in a picture, of a run or of a second look. As host/report/presence_plot.py. */
function caption(part) {
  const who = `${part.concept}, picture ${part.picture + 1}`;
  if (part.presence !== undefined) {
    const told = `${part.presence.toFixed(1)} deviations, threshold ${part.threshold.toFixed(1)}`;
    return `second look, ${who}: ${part.found ? "found" : "not found"}, ${told}`;
  }
  const { steps, found_at, given, damped } = part;
  if (given) return `${who}: found in the picture given, ${damped} of ${steps.length} steps damped`;
  if (found_at) return `${who}: found at step ${found_at}, ${damped} of ${steps.length} steps damped`;
  return `${who}: not found in ${steps.length} steps`;
}

/** Presence of a concept over the steps as columns, those above the threshold hot, and where it was as a map. */
function presence(part) {
  const box = make("div");
  const row = make("div", "safree-row");
  if (part.steps) {
    const columns = make("div", "safree-spectrum safree-presence");
    columns.setAttribute("role", "img");
    columns.setAttribute("aria-label", `Presence by step, threshold ${part.threshold}: ${part.steps.join(", ")}`);
    for (const value of part.steps.slice(0, MAX_CELLS)) {
      const column = make("span", value > part.threshold ? "safree-hot" : "");
      column.style.height = `${Math.round(100 * Math.min(Math.max(value / TALLEST, 0.04), 1))}%`;
      columns.append(column);
    }
    row.append(columns);
  }
  row.append(map(part.map));
  box.append(make("p", "safree-detail", caption(part)), row);
  return box;
}

/** Cells of the picture, hotter the more of a concept is there. */
function map(places) {
  const grid = make("div", "safree-map");
  grid.setAttribute("role", "img");
  const cells = places.flatMap((row, y) => row.map((value, x) => ({ value, x, y })));
  const top = cells.reduce((best, cell) => (cell.value > best.value ? cell : best), cells[0]);
  grid.setAttribute("aria-label", `Strongest in row ${top.y + 1}, column ${top.x + 1} of ${places.length}`);
  grid.style.gridTemplateColumns = `repeat(${places[0].length}, 1fr)`;
  for (const { value } of cells) {
    const cell = make("span");
    cell.style.setProperty("--safree-heat", `${Math.round(100 * Math.min(Math.max(value / HOTTEST, 0), 1))}%`);
    grid.append(cell);
  }
  return grid;
}

/** A picture of a few pixels, drawn large and soft, with what was seen in it. */
function blurred({ picture, image }, findings) {
  const seen = findings.filter((one) => one.found && one.picture === picture);
  const who = seen.map(({ judge, concept, score }) => `${concept} ${score.toFixed(2)} (${judge})`).join(", ");
  const figure = make("figure", "safree-picture");
  const drawn = make("img");
  drawn.src = image;
  drawn.alt = `Picture ${picture + 1}, blurred: ${who || "part of a stretch"}`;
  drawn.title = drawn.alt;
  figure.append(drawn, make("figcaption", "safree-detail", `${picture + 1}`));
  return figure;
}

/** Explained variance of each direction as a column. */
function spectrum(explained, label) {
  const row = make("div", "safree-row");
  const columns = make("div", "safree-spectrum");
  columns.setAttribute("role", "img");
  columns.setAttribute("aria-label", `Explained variance, ${explained.map(percent).join(", ")}`);
  for (const share of explained.slice(0, MAX_CELLS)) {
    const column = make("span");
    column.style.height = `${Math.max(6, (100 * share) / Math.max(...explained))}%`;
    columns.append(column);
  }
  row.append(columns, make("span", "safree-detail", label));
  return row;
}
