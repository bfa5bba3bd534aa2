// Lets Grafana's own library (@grafana/data) take panels with real answers: transformations, overrides, mappings, formats.
//
//     node taken.cjs ANSWERS.json      (written by preview.py --answers)
//
// Prints what each panel would show; ends with 1 where a panel that has answers shows nothing of them.
"use strict";
const fs = require("fs");
const { JSDOM } = require("jsdom");

// The library expects a browser.
const page = new JSDOM("<html><body></body></html>", { url: "http://localhost/" });
for (const [name, value] of Object.entries({
  window: page.window,
  document: page.window.document,
  navigator: page.window.navigator,
  localStorage: page.window.localStorage,
})) {
  Object.defineProperty(globalThis, name, { value, configurable: true });
}
page.window.matchMedia = () => ({ matches: false, addEventListener() {} });
console.time = console.timeEnd = () => {};

const grafana = require("@grafana/data");
const { firstValueFrom } = require("rxjs");
const { FieldType, toDataFrame, getFieldDisplayName, formattedValueToString } = grafana;

const transformers = new Map(Object.values(grafana.standardTransformers).map((one) => [one.id, one]));
grafana.standardTransformersRegistry.setInit(() =>
  [...transformers.values()].map((one) => ({ id: one.id, name: one.name, transformation: one, editor: () => null })),
);

// Answers as frames, as the data source of Prometheus makes them.
function framesOf(panel, answers) {
  const found = panel.targets.filter((target) => answers[target.refId].length);
  return found.flatMap((target) =>
    target.format === "table"
      ? [tableOf(target, answers[target.refId], found.length > 1)]
      : answers[target.refId].map((series) => lineOf(target, series)),
  );
}

function tableOf(target, answer, several) {
  const labels = [...new Set(answer.flatMap((series) => Object.keys(series.metric)))].filter((one) => one !== "__name__");
  const rows = answer
    .flatMap((series) => (series.values ?? [series.value]).map(([time, value]) => ({ time, value, metric: series.metric })))
    .sort((one, other) => one.time - other.time);
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: "Time", type: FieldType.time, values: rows.map((row) => row.time * 1000) },
      ...labels.sort().map((label) => ({ name: label, type: FieldType.string, values: rows.map((row) => row.metric[label] ?? "") })),
      { name: several ? `Value #${target.refId}` : "Value", type: FieldType.number, values: rows.map((row) => Number(row.value)) },
    ],
  });
}

function lineOf(target, series) {
  const name = (target.legendFormat ?? "").replace(/\{\{(\w+)\}\}/g, (_, label) => series.metric[label] ?? label);
  const points = series.values ?? [series.value];
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: "Time", type: FieldType.time, values: points.map(([time]) => time * 1000) },
      {
        name: "Value",
        type: FieldType.number,
        labels: series.metric,
        config: name ? { displayNameFromDS: name } : {},
        values: points.map(([, value]) => Number(value)),
      },
    ],
  });
}

// The settings that the panels use. What they do in a browser is the panels' own; here they are only applied.
function settingsOf(panels) {
  const ids = new Set(["unit", "decimals", "min", "max", "mappings", "thresholds", "noValue", "color", "links"]);
  for (const panel of panels) {
    for (const one of panel.fieldConfig.overrides) one.properties.forEach((property) => ids.add(property.id));
    Object.keys(panel.fieldConfig.defaults.custom ?? {}).forEach((name) => ids.add(`custom.${name}`));
  }
  const registry = new grafana.FieldConfigOptionsRegistry();
  for (const id of ids) {
    const isCustom = id.startsWith("custom.");
    const path = isCustom ? id.slice("custom.".length) : id;
    const none = () => null;
    registry.register({ id, path, name: id, isCustom, override: none, editor: none, process: (value) => value, shouldApply: () => true, settings: {} });
  }
  return registry;
}

const shown = (field, value) => formattedValueToString(field.display(value));

function cells(frame, frames) {
  const titles = frame.fields.map((field) => getFieldDisplayName(field, frame, frames));
  const rows = Array.from({ length: frame.length }, (_, row) => frame.fields.map((field) => shown(field, field.values[row])));
  return [titles, ...rows].map((row) => row.join(" | "));
}

function points(panel, frame, frames) {
  return panel.options.series.map((series) => {
    const [right, up] = ["x", "y"].map((axis) => {
      const matches = grafana.getFieldMatcher(series[axis].matcher);
      return frame.fields.find((field) => field.type === FieldType.number && matches(field, frame, frames));
    });
    const rows = right && up ? [...right.values.keys()].filter((row) => right.values[row] != null && up.values[row] != null) : [];
    return `${series.name.fixed}: ${rows.length} points, ${up?.config.color?.fixedColor ?? ""}`;
  });
}

function lastOf(frame, frames) {
  const field = frame.fields[1];
  const value = field.values[field.values.length - 1];
  return `${getFieldDisplayName(field, frame, frames)} = ${shown(field, value)} ${field.display(value).color}`;
}

async function taken({ panel, answers }, fieldConfigRegistry) {
  let data = framesOf(panel, answers);
  if (panel.transformations) data = await firstValueFrom(grafana.transformDataFrame(panel.transformations, data));
  data = grafana.applyFieldOverrides({
    data,
    fieldConfig: panel.fieldConfig,
    fieldConfigRegistry,
    replaceVariables: (text) => text,
    theme: grafana.createTheme({ colors: { mode: "dark" } }),
    timeZone: "utc",
  });
  if (data.length === 0) return [];
  if (panel.type === "table") return cells(data[0], data);
  if (panel.type === "xychart") return points(panel, data[0], data);
  return data.map((frame) => lastOf(frame, data));
}

async function main(path) {
  const entries = JSON.parse(fs.readFileSync(path, "utf8"));
  const registry = settingsOf(entries.map((entry) => entry.panel));
  let faults = 0;
  for (const entry of entries) {
    const lines = await taken(entry, registry);
    const answered = Object.values(entry.answers).some((series) => series.length);
    const lost = answered && (lines.length === 0 || (entry.panel.type === "xychart" && !lines.some((line) => !line.includes(": 0 points"))));
    faults += lost ? 1 : 0;
    console.log(`${lost ? "LOST  " : ""}${entry.board}, ${entry.panel.title} (${entry.panel.type})`);
    lines.forEach((line) => console.log(`    ${line}`));
  }
  process.exitCode = faults ? 1 : 0;
}

main(process.argv[2]);
