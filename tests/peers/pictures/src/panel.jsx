// One panel, by Grafana's own component for its type.
import React from 'react';
import { dateTime, getFieldDisplayValues } from '@grafana/data';
import { BarGauge, BigValue, PanelChrome, Table, TimeSeries } from '@grafana/ui';
import { configured, organized } from './fields.js';

const LEGEND = { showLegend: true, displayMode: 'list', placement: 'bottom', calcs: [] };

export function Panel({ panel, told, time, theme, width, height }) {
  return (
    <PanelChrome title={panel.title} description={panel.description} width={width} height={height}>
      {(inner, high) => <Body panel={panel} told={told} time={time} theme={theme} width={inner} height={high} />}
    </PanelChrome>
  );
}

function Body({ panel, told, time, theme, width, height }) {
  if (told.error) {
    return <Words className="broken" theme={theme} height={height}>{told.error}</Words>;
  }
  const seen = told.frames.filter((frame) => frame.length > 0);
  if (seen.length === 0) {
    return <Words className="empty" theme={theme} height={height}>{panel.fieldConfig?.defaults?.noValue ?? 'No data'}</Words>;
  }
  const drawn = { panel, theme, width, height };
  switch (panel.type) {
    case 'timeseries': return <Series {...drawn} frames={configured(seen, panel, theme)} exemplars={told.exemplars} time={time} />;
    case 'table': return <Table data={configured([organized(seen, panel.transformations)], panel, theme)[0]} width={width} height={height} />;
    case 'stat': return <Values {...drawn} frames={configured(seen, panel, theme)} one={Big} />;
    case 'bargauge': return <Values {...drawn} frames={configured(seen, panel, theme)} one={Bar} />;
    default: return <Words className="broken" theme={theme} height={height}>a {panel.type} can't be drawn</Words>;
  }
}

function Words({ className, theme, height, children }) {
  return <div className={className} style={{ display: 'grid', placeItems: 'center', height, color: theme.colors.text.secondary }}>{children}</div>;
}

// Exemplars are counted alone: what draws them is no part of what is published.
function Series({ panel, frames, exemplars, time, width, height }) {
  const range = { from: dateTime(time.from * 1000), to: dateTime(time.to * 1000) };
  const legend = { ...LEGEND, ...panel.options?.legend };
  return (
    <div data-exemplars={exemplars.length}>
      <TimeSeries frames={frames} structureRev={1} legend={legend} timeRange={{ ...range, raw: range }} timeZone="utc" width={width} height={height} />
    </div>
  );
}

// Values side by side, or bars one below the other.
function Values({ panel, frames, theme, width, height, one: One }) {
  const reduceOptions = { calcs: ['lastNotNull'], ...panel.options?.reduceOptions };
  const values = getFieldDisplayValues({
    data: frames, reduceOptions, fieldConfig: { defaults: {}, overrides: [] }, replaceVariables: (text) => text, theme,
    timeZone: 'utc', sparkline: panel.type === 'stat' && panel.options?.graphMode !== 'none',
  });
  const across = panel.type === 'stat';
  const size = across ? { width: Math.floor(width / values.length), height } : { width, height: Math.floor(height / values.length) };
  const most = Math.max(...values.map((value) => value.display.numeric), 0);
  return (
    <div style={{ display: 'flex', flexDirection: across ? 'row' : 'column' }}>
      {values.map((value, at) => <One key={at} value={value} alone={values.length === 1} most={most} panel={panel} theme={theme} {...size} />)}
    </div>
  );
}

function Big({ value, alone, panel, theme, width, height }) {
  const shown = { ...value.display, title: alone ? undefined : value.display.title };
  const { graphMode = 'none', colorMode = 'value', textMode = 'auto' } = panel.options ?? {};
  return <BigValue width={width} height={height} theme={theme} value={shown} sparkline={value.sparkline} graphMode={graphMode} colorMode={colorMode} textMode={textMode} />;
}

function Bar({ value, most, panel, theme, width, height }) {
  const [min, max] = [value.field.min ?? 0, value.field.max ?? most];
  const shown = { ...value.display, percent: (value.display.numeric - min) / (max - min || 1) };
  const display = value.view?.getFieldDisplayProcessor(value.colIndex);
  return (
    <BarGauge width={width} height={height} theme={theme} value={shown} field={{ ...value.field, min, max }} display={display}
      displayMode={panel.options?.displayMode ?? 'basic'} orientation="horizontal" text={{ titleSize: 13, valueSize: 16 }} />
  );
}
