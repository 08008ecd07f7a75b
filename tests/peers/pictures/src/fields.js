// A panel's field configuration applied to its frames: units, colours, names, overrides, transformations of tables.
import { FieldType, getDisplayProcessor } from '@grafana/data';

const TIME_SERIES = {
  drawStyle: 'line', lineWidth: 1, fillOpacity: 0, showPoints: 'never', lineInterpolation: 'linear', spanNulls: false,
};

function matches({ id, options }, field, frame) {
  const shown = field.config.displayName ?? field.config.displayNameFromDS ?? field.name;
  switch (id) {
    case 'byName': return shown === options || field.name === options;
    case 'byRegexp': return new RegExp(String(options).replace(/^\/|\/$/g, '')).test(shown);
    case 'byFrameRefID': return frame.refId === options;
    case 'byType': return field.type === options;
    default: return false;
  }
}

function overridden(field, frame, overrides) {
  for (const { matcher, properties } of overrides ?? []) {
    if (matches(matcher, field, frame)) {
      for (const { id, value } of properties) {
        if (id.startsWith('custom.')) {
          field.config.custom = { ...field.config.custom, [id.slice('custom.'.length)]: value };
        } else {
          field.config[id] = value;
        }
      }
    }
  }
}

// Gives each field what a panel needs to draw it.
export function configured(frames, panel, theme) {
  const { defaults = {}, overrides } = panel.fieldConfig ?? {};
  let series = 0;
  for (const frame of frames) {
    for (const field of frame.fields) {
      if (field.type !== FieldType.time) {
        const custom = panel.type === 'timeseries' ? { ...TIME_SERIES, ...defaults.custom } : { ...defaults.custom };
        const fallback = { mode: panel.type === 'timeseries' ? 'palette-classic' : 'thresholds' };
        field.config = { ...defaults, custom, color: defaults.color ?? fallback, ...field.config };
        overridden(field, frame, overrides);
        field.state = { seriesIndex: series, displayName: field.config.displayName ?? field.config.displayNameFromDS ?? field.name, range: range(field) };
        series += field.type === FieldType.number ? 1 : 0;
      }
      field.display = getDisplayProcessor({ field, theme, timeZone: 'utc' });
    }
  }
  return frames;
}

function range(field) {
  const seen = field.values.filter((value) => typeof value === 'number');
  const min = field.config.min ?? Math.min(...seen);
  const max = field.config.max ?? Math.max(...seen);
  return { min, max, delta: max - min };
}

// What "organize" does to a table: columns left out, renamed and put into order. Others are not used here.
export function organized(frames, transformations) {
  const wanted = (transformations ?? []).filter(({ id }) => id === 'organize').map(({ options }) => options);
  const merged = merge(frames);
  return wanted.reduce((frame, { excludeByName = {}, renameByName = {}, indexByName = {} }) => {
    const kept = frame.fields.filter((field) => !excludeByName[field.name]);
    const at = (field) => indexByName[field.name] ?? kept.length;
    const sorted = [...kept].sort((one, other) => at(one) - at(other));
    const renamed = sorted.map((field) => ({ ...field, name: renameByName[field.name] || field.name }));
    return { ...frame, fields: renamed };
  }, merged);
}

// The rows of several queries as one table, joined by the labels that they have in common.
function merge(frames) {
  const [first, ...rest] = frames;
  return rest.reduce((all, frame) => {
    const shared = frame.fields.filter((field) => field.type === FieldType.string && all.fields.some((found) => found.name === field.name));
    const key = (fields, at) => fields.map((field) => field.values[at]).join('\u0000');
    const ours = shared.map((field) => all.fields.find((found) => found.name === field.name));
    const rows = new Map(Array.from({ length: frame.length }, (_, at) => [key(shared, at), at]));
    const from = Array.from({ length: all.length }, (_, at) => rows.get(key(ours, at)));
    const added = frame.fields.filter((field) => !shared.includes(field));
    const columns = added.map((field) => ({ ...field, values: from.map((at) => (at === undefined ? null : field.values[at])) }));
    return { ...all, fields: [...all.fields, ...columns] };
  }, first);
}
