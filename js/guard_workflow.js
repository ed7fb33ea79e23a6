/** The command 'Guard this workflow': the open workflow's guarded twin in a tab of its own, and what was done. */
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const COMMAND = "Safree.GuardWorkflow";
const CONCEPTS = "Safree.ConceptSets"; // a setting
const LIFE = 15_000; // milliseconds of a message

function say(severity, summary, detail) {
  app.extensionManager.toast.add({ severity, summary, detail, life: LIFE });
}

async function guardWorkflow() {
  const names = (app.extensionManager.setting.get(CONCEPTS) ?? "nudity").split(",").map((name) => name.trim());
  const workflow = (app.rootGraph ?? app.graph).serialize();
  const reply = await api.fetchApi("/safree/guard", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ workflow, concept_sets: names.filter(Boolean) }),
  });
  const twin = await reply.json();
  if (!reply.ok) return say("error", "SAFREE cannot guard this workflow", twin.error);
  if (twin.unguarded.length) return say("warn", "Not guarded: nothing was changed", twin.report);
  if (twin.workflow) await app.loadGraphData(twin.workflow, true, true, "guarded");
  else await app.loadApiJson(twin.api, "guarded");
  say("success", "Guarded: this is a copy, your workflow stays as it was", twin.report);
}

app.registerExtension({
  name: "safree.guard_workflow",
  commands: [{ id: COMMAND, label: "Guard this workflow", icon: "pi pi-shield", function: guardWorkflow }],
  menuCommands: [{ path: ["SAFREE"], commands: [COMMAND] }],
  settings: [
    {
      id: CONCEPTS,
      name: "Concepts of 'Guard this workflow'",
      category: ["SAFREE", "Guard", "Concepts"],
      tooltip: "Names of concept sets with commas between them, such as nudity, violence.",
      type: "text",
      defaultValue: "nudity",
    },
  ],
});
