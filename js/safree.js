/**
 * SAFREE panels: what the guard found and did, shown on the node that did it.
 *
 * Reports arrive with ComfyUI's own "executed" messages and stay in the browser's memory: what a prompt said and scored
 * is not in saved and shared workflows, unless the user asks for it by a setting. A node's properties hold a name of its
 * last report, so that copies and undo bring it back; widgets_values stay those of the node's inputs.
 */
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { gatePanel, plainMessage, samplingPanel, subspacePanel, tokenPanel } from "./panels.js";

const PROPERTY = "safree"; // of node.properties: the last report, where the setting or an older version put it
const NAMES = "safree_session"; // of node.properties: for each such property the name of a report of this session
const KEEP = "Safree.KeepReports"; // a setting
const MOST_REPORTS = 500;
const WIDGET = "safree_panel";

/** Node class -> key of its ui output, and the function that draws it. */
const PANELS = {
  ConceptSubspace: ["safree_subspace", subspacePanel],
  LoadConceptSubspace: ["safree_subspace", subspacePanel],
  SafreeConditioning: ["safree_report", tokenPanel],
  SafreeMultiTextConditioning: ["safree_report", tokenPanel],
  SafreePictureConditioning: ["safree_report", tokenPanel],
  SafreeFilterConditioning: ["safree_report", tokenPanel],
  SelfValidatingSampler: ["safree_sampling", samplingPanel],
  LatentLook: ["safree_sampling", samplingPanel],
  SafetyGate: ["safree_gate", gatePanel],
};

/** Key of a ui output -> the function that draws it. */
const DRAWERS = Object.fromEntries(Object.values(PANELS));

const GROUP_NODE = "workflow>"; // begins the class of a legacy group node; newer editors make a subgraph of it

/** Panels of the nodes in any open graph. */
const panels = new Set();
/** Reports of this session, by a name that says nothing. */
const reports = new Map();
const session = Math.random().toString(36).slice(2);
let made = 0;
/** Last report of each node of this session, by place: undo brings a node back as it was saved before the run. */
const remembered = new Map();
/** Legacy group node -> its panels by property; a node inside gets one when it reports. */
const groups = new WeakMap();

/** The node that ran as `id`; '12:3' is node 3 of the subgraph in node 12, or a part of the legacy group node 12. */
function nodeAt(id) {
  const start = { subgraph: app.rootGraph ?? app.graph };
  const step = (node, part) => (groups.has(node) ? node : node?.subgraph?.getNodeById(part));
  return String(id).split(":").reduce(step, start);
}

class Panel {
  constructor(node, draw, property = PROPERTY) {
    this.node = node;
    this.draw = draw;
    this.property = property;
    this.ran = true; // in the run that ended last
    this.height = 0;
    this.content = document.createElement("div");
    this.element = document.createElement("div");
    this.element.className = "safree-panel";
    this.element.append(this.content);
    this.widget = node.addDOMWidget(WIDGET, WIDGET, this.element, {
      serialize: false, // not an input of the prompt
      hideOnZoom: false,
      hideInPanel: true, // the editor's list of a node's parameters
      getMinHeight: () => this.height,
      getMaxHeight: () => this.height,
      getValue: () => "",
      setValue: () => {},
    });
    this.widget.serialize = false; // not in widgets_values
    this.observer = new ResizeObserver(() => this.fit());
    this.observer.observe(this.content);
    this.show(null);
    panels.add(this);
    chain(node, "onRemoved", () => {
      panels.delete(this);
      this.observer.disconnect();
    });
  }

  get place() {
    return `${this.node.graph?.id}/${this.node.id}/${this.property}`;
  }

  get saved() {
    const properties = this.node.properties ?? {};
    return properties[this.property] ?? reports.get(properties[NAMES]?.[this.property]);
  }

  /** Remember a report for this node and its copies; in the saved workflow only if the user wants it there. */
  keep(report, inFile = keepsReports()) {
    const properties = (this.node.properties ??= {});
    const name = `${session}-${made++}`;
    reports.set(name, report);
    if (reports.size > MOST_REPORTS) reports.delete(reports.keys().next().value);
    properties[NAMES] = { ...properties[NAMES], [this.property]: name };
    if (inFile) properties[this.property] = report;
    else delete properties[this.property];
    remembered.set(this.place, report);
  }

  /** Make the node high enough for the panel; never smaller, the size is the user's. */
  fit() {
    const margins = 2 * (this.widget.margin ?? 10);
    const height = this.content.offsetHeight + margins;
    if (!this.content.offsetHeight || height === this.height) return;
    this.height = height;
    const [width, needed] = this.node.computeSize();
    const [oldWidth, oldHeight] = this.node.size;
    this.node.setSize([Math.max(oldWidth, width), Math.max(oldHeight, needed)]);
    this.node.graph?.setDirtyCanvas(true, true);
  }

  show(report, remark = report ? "" : "Run the workflow to see what the guard finds.") {
    this.content.replaceChildren();
    if (remark) this.content.append(plainMessage(remark));
    if (report) this.content.append(...this.draw(report));
  }

  executed(report) {
    this.ran = true;
    this.keep(report);
    this.show(report);
  }

  /** After the node's saved state was read: file, copy, undo. */
  restore() {
    if (this.node.properties?.[this.property] !== undefined) this.keep(this.saved); // of a file: into memory
    const report = this.saved ?? remembered.get(this.place);
    this.show(report, this.promptChanged(report) ? "The prompt was changed after this report." : undefined);
  }

  promptChanged(report) {
    const text = this.node.widgets?.find((widget) => widget.name === "text");
    const linked = this.node.inputs?.some((input) => input.name === "text" && input.link != null);
    return this.property === PROPERTY && Boolean(text) && !linked && ![undefined, text.value].includes(report?.prompt);
  }

  /** ComfyUI had the node's outputs of an earlier run with the same inputs, and sends no report again. */
  cached() {
    this.ran = true;
    if (this.saved) this.restore();
    else this.show(null, "ComfyUI took this result from its cache, without a report. Change the node to see one.");
  }

  runEnded() {
    if (!this.ran && this.saved) this.show(this.saved, "Not part of the last run: this report is an earlier one.");
  }
}

/** Panel of a node inside a legacy group node; `property`, such as 'safree_report:1', ends in that node's index. */
function innerPanel(node, property) {
  const shown = groups.get(node);
  if (!shown.has(property)) shown.set(property, new Panel(node, DRAWERS[property.split(":")[0]], property));
  return shown.get(property);
}

/** The editor hands a group node the outputs of the nodes in it without saying whose, so the event itself is read. */
function showInGroup(id, output) {
  const [node, index] = [nodeAt(id), id.split(":").at(-1)];
  if (!groups.has(node) || !id.includes(":")) return;
  for (const key of Object.keys(DRAWERS)) {
    if (output?.[key]?.[0]) innerPanel(node, `${key}:${index}`).executed(output[key][0]);
  }
}

function restoreGroup(node) {
  const names = { ...node.properties, ...node.properties?.[NAMES] };
  const kept = Object.keys(names).filter((name) => name.includes(":") && name.split(":")[0] in DRAWERS);
  kept.forEach((property) => innerPanel(node, property).restore());
}

function keepsReports() {
  return app.extensionManager?.setting?.get(KEEP) === true;
}

function chain(node, name, action) {
  const earlier = node[name];
  node[name] = function (...args) {
    const result = earlier?.apply(this, args);
    action(...args);
    return result;
  };
}

app.registerExtension({
  name: "safree.panels",

  settings: [
    {
      id: KEEP,
      name: "Keep reports in saved workflows",
      category: ["SAFREE", "Reports", "Keep"],
      tooltip: "Words of the prompt and their scores. Off: whoever gets a workflow, or a picture with it, does not get them.",
      type: "boolean",
      defaultValue: false,
      onChange: (inFile) => panels.forEach((panel) => panel.saved !== undefined && panel.keep(panel.saved, inFile)),
    },
  ],

  setup() {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = new URL("./safree.css", import.meta.url).href;
    document.head.append(style);

    api.addEventListener("executed", ({ detail }) => showInGroup(String(detail.node), detail.output));
    api.addEventListener("execution_start", () => panels.forEach((panel) => (panel.ran = false)));
    api.addEventListener("execution_cached", ({ detail }) => {
      const nodes = new Set(detail.nodes.map(nodeAt));
      panels.forEach((panel) => nodes.has(panel.node) && panel.cached());
    });
    for (const end of ["execution_success", "execution_error", "execution_interrupted"]) {
      api.addEventListener(end, () => panels.forEach((panel) => panel.runEnded()));
    }
  },

  nodeCreated(node) {
    if (node.comfyClass?.startsWith(GROUP_NODE)) {
      groups.set(node, new Map());
      chain(node, "onConfigure", () => restoreGroup(node));
      return;
    }
    const [key, draw] = PANELS[node.comfyClass] ?? [];
    if (!key) return;
    const panel = new Panel(node, draw);
    chain(node, "onExecuted", (output) => output?.[key]?.[0] && panel.executed(output[key][0]));
    chain(node, "onConfigure", () => panel.restore());
  },
});
