// What Grafana's libraries expect of the page that Grafana's server would have made.
window.grafanaBootData = { user: { weekStart: 'monday' }, settings: { featureToggles: {} }, navTree: [] };
