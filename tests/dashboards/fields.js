// Grafana's standard field options, as its own start-up registers them, and the custom ones of panels.
const data = require('@grafana/data');

const standard = [
  ['unit', data.unitOverrideProcessor],
  ['min', data.numberOverrideProcessor],
  ['max', data.numberOverrideProcessor],
  ['decimals', data.numberOverrideProcessor],
  ['displayName', data.displayNameOverrideProcessor],
  ['noValue', data.stringOverrideProcessor],
  ['color', data.identityOverrideProcessor],
  ['mappings', data.valueMappingsOverrideProcessor],
  ['thresholds', data.thresholdsOverrideProcessor],
  ['links', data.identityOverrideProcessor],
];
const custom = [
  'axisCenteredZero', 'axisColorMode', 'axisLabel', 'axisPlacement', 'axisSoftMax', 'axisSoftMin', 'barAlignment', 'barMaxWidth', 'barWidthFactor', 'cellOptions',
  'drawStyle', 'fillOpacity', 'gradientMode', 'lineInterpolation', 'lineStyle', 'lineWidth',
  'pointSize', 'scaleDistribution', 'showPoints', 'spanNulls', 'stacking', 'thresholdsStyle', 'width',
];

function option(name, process, isCustom) {
  return {
    id: isCustom ? `custom.${name}` : name,
    path: name,
    name,
    editor: () => null,
    override: () => null,
    process,
    shouldApply: () => true,
    settings: {},
    isCustom,
  };
}

exports.registry = () => {
  const registry = new data.FieldConfigOptionsRegistry();
  for (const [name, process] of standard) registry.register(option(name, process, false));
  for (const name of custom) registry.register(option(name, data.identityOverrideProcessor, true));
  return registry;
};
