// A panel's queries, as Grafana would ask them, and their answers as its data frames.
import { FieldType, toDataFrame } from '@grafana/data';

// Points in the width of a panel, and Grafana's least interval for rates at the scrape interval of the run.
const POINTS = 300;
const LEAST_RATE_SECONDS = 10;

// Rows are panels, too: those that are folded hold theirs.
export function panelsOf(dashboard) {
  return dashboard.panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]);
}

// Every variable at its "All".
export function choices(dashboard) {
  const all = dashboard.templating.list.filter((variable) => variable.type === 'query');
  return Object.fromEntries(all.map((variable) => [variable.name, variable.allValue ?? '.*']));
}

function expand(expr, chosen, time, step) {
  const values = {
    ...chosen,
    __interval: `${step}s`,
    __range: `${time.to - time.from}s`,
    __rate_interval: `${Math.max(LEAST_RATE_SECONDS, 4 * step)}s`,
  };
  return expr.replace(/\$\{?(\w+)(?::\w+)?\}?/g, (text, name) => values[name] ?? text);
}

function legend(format, labels) {
  if (format) {
    return format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? '');
  }
  return Object.entries(labels).map(([name, value]) => `${name}="${value}"`).join(', ') || 'Value';
}

async function ask(path, parameters) {
  const answer = await (await fetch(`/prometheus/api/v1/${path}?${new URLSearchParams(parameters)}`)).json();
  if (answer.status !== 'success') {
    throw new Error(answer.error);
  }
  return answer.data;
}

// The frames of each query of a panel, the exemplars of all of them, and what went wrong.
export async function answers(panel, chosen, time) {
  const step = Math.max(1, Math.ceil((time.to - time.from) / POINTS));
  const told = { frames: [], exemplars: [], error: undefined };
  for (const target of panel.targets ?? []) {
    const query = expand(target.expr, chosen, time, step);
    try {
      const data = target.instant
        ? await ask('query', { query, time: time.to })
        : await ask('query_range', { query, start: time.from, end: time.to, step });
      told.frames.push(...(panel.type === 'table' ? [table(target, data.result, panel.targets.length)] : data.result.map((series) => frame(target, series))));
      if (target.exemplar) {
        const found = await ask('query_exemplars', { query, start: time.from, end: time.to });
        told.exemplars.push(...found.flatMap((series) => series.exemplars));
      }
    } catch (error) {
      told.error = String(error);
    }
  }
  return told;
}

const number = (text) => (Number.isFinite(Number(text)) ? Number(text) : null);

function frame(target, series) {
  const points = series.values ?? [series.value];
  const config = { displayNameFromDS: legend(target.legendFormat, series.metric) };
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: points.map(([at]) => at * 1000) },
      { name: 'Value', type: FieldType.number, labels: series.metric, values: points.map(([, value]) => number(value)), config },
    ],
  });
}

function table(target, result, queries) {
  const labels = [...new Set(result.flatMap((series) => Object.keys(series.metric)))];
  const column = (name) => ({ name, type: FieldType.string, values: result.map((series) => series.metric[name] ?? '') });
  const values = { name: queries > 1 ? `Value #${target.refId}` : 'Value', type: FieldType.number, values: result.map((series) => number(series.value[1])) };
  return toDataFrame({ refId: target.refId, fields: [...labels.map(column), values] });
}
