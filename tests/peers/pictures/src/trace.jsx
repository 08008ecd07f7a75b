// One trace as Jaeger's API tells it: a bar for each span on a common scale, children below their parents.
import React from 'react';

const WIDTH = 1600;
const NAMES = 620;
const LINE = 30;
const COLOURS = ['#73bf69', '#5794f2', '#ff9830', '#b877d9', '#f2495c', '#fade2a'];
const LABEL = 'From a real run of this repository, read from Jaeger\'s API and drawn by `cargo xtask pictures`. Not a screenshot of Jaeger.';

const tag = (span, key) => span.tags.find((found) => found.key === key)?.value;

// Spans in the order of reading, each with how deep it lies.
function ordered(spans) {
  const known = new Set(spans.map((span) => span.spanID));
  const parent = (span) => span.references.find((reference) => reference.refType === 'CHILD_OF' && known.has(reference.spanID))?.spanID;
  const below = (id, depth) => spans
    .filter((span) => parent(span) === id)
    .sort((one, other) => one.startTime - other.startTime)
    .flatMap((span) => [{ ...span, depth }, ...below(span.spanID, depth + 1)]);
  return below(undefined, 0);
}

export function Trace({ spans: trace, theme }) {
  const spans = ordered(trace.spans);
  const begin = Math.min(...spans.map((span) => span.startTime));
  const whole = Math.max(...spans.map((span) => span.startTime + span.duration)) - begin;
  const services = [...new Set(Object.values(trace.processes).map((process) => process.serviceName))];
  const colour = (span) => COLOURS[services.indexOf(trace.processes[span.processID].serviceName) % COLOURS.length];
  const place = (micros) => `${(100 * micros) / whole}%`;
  const text = { fontFamily: theme.typography.fontFamily, color: theme.colors.text.primary };
  return (
    <div style={{ ...text, width: WIDTH - 32, padding: 16, background: theme.colors.background.canvas }}>
      <div style={{ fontSize: 18 }}>One notification, from the caller to the gateway</div>
      <div style={{ fontSize: 13, color: theme.colors.text.secondary, margin: '4px 0 14px' }}>
        trace {trace.traceID}: {spans.length} spans of {services.join(' and ')} in {millis(whole)}
      </div>
      {spans.map((span) => (
        <div key={span.spanID} style={{ display: 'flex', height: LINE, alignItems: 'center', fontSize: 13 }}>
          <div style={{ width: NAMES, paddingLeft: span.depth * 18, boxSizing: 'border-box', whiteSpace: 'nowrap', overflow: 'hidden' }}>
            <span style={{ color: theme.colors.text.secondary }}>{String(tag(span, 'span.kind') ?? 'internal').toUpperCase()}</span> {span.operationName}
          </div>
          <div style={{ flex: 1, position: 'relative', height: 16, background: theme.colors.background.primary }}>
            <div style={{ position: 'absolute', left: place(span.startTime - begin), width: `max(2px, ${place(span.duration)})`, height: 16, background: tag(span, 'error') ? '#f2495c' : colour(span) }} />
          </div>
          <div style={{ width: 90, textAlign: 'right' }}>{millis(span.duration)}</div>
        </div>
      ))}
      <div style={{ fontSize: 12, color: theme.colors.text.secondary, marginTop: 14 }}>{LABEL}</div>
    </div>
  );
}

const millis = (micros) => `${(micros / 1000).toFixed(micros < 10000 ? 2 : 1)} ms`;
