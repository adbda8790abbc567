// Shows the API's description. What is tried runs in the browser's own session: the cookie goes along
// by itself, with requests to this origin alone.

// The browser's back/forward cache may restore this page when the session is over: see src/pages/restored.js.
addEventListener('pagehide', () => {
  document.documentElement.hidden = true;
});
addEventListener('pageshow', (event) => {
  if (event.persisted) location.reload();
  else document.documentElement.hidden = false;
});

/**
 * Whether an operation only ever redirects, as those of the sign-in do. They lead to AuthKit, where a script's
 * request fails (CORS); a navigation goes through.
 */
function isNavigation(operation) {
  const tags = operation?.get('tags');
  const statuses = [...(operation?.get('responses')?.keys() ?? [])];
  return Boolean(tags?.includes('sign-in')) && !statuses.some((status) => status.startsWith('2'));
}

/** Offers a link in place of "Execute" where a script's request would fail. */
function navigations({ React }) {
  const { createElement } = React;
  return {
    statePlugins: {
      spec: {
        wrapSelectors: {
          allowTryItOutFor: (original, system) => (state, path, method) =>
            !isNavigation(system.specSelectors.specJson().getIn(['paths', path, method])) &&
            original(state, path, method),
        },
      },
    },
    wrapComponents: {
      parameters: (Parameters) =>
        function ParametersWithLink(props) {
          const [path, method] = props.pathMethod;
          const operation = props.specSelectors.specJson().getIn(['paths', path, method]);
          const parameters = createElement(Parameters, props);
          if (!isNavigation(operation)) return parameters;
          const link =
            method === 'get'
              ? createElement('a', { href: path, className: 'btn execute' }, `Open ${path}`)
              : 'Pages send it with a form.';
          const why = 'This redirects to AuthKit, so it cannot be tried here. ';
          return createElement('div', null, createElement('p', { className: 'navigation' }, why, link), parameters);
        },
    },
  };
}

addEventListener('DOMContentLoaded', () => {
  SwaggerUIBundle({
    url: '/openapi.json',
    dom_id: '#swagger-ui',
    deepLinking: true,
    tryItOutEnabled: true,
    defaultModelsExpandDepth: 0,
    plugins: [navigations],
  });
});
