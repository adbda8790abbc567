// Shows the API's description. An operation tried there runs in the browser's own session: the browser
// adds the cookie, to requests to this origin alone.

// The browser's back/forward cache may restore this page when the session is over: see src/web/views/restored.js.
addEventListener('pagehide', () => {
  document.documentElement.hidden = true;
});
addEventListener('pageshow', (event) => {
  if (event.persisted) location.reload();
  else document.documentElement.hidden = false;
});

/**
 * As much of Swagger UI as this page uses. Its documents are Immutable.js collections.
 *
 * @typedef {object} SwaggerMap
 * @property {(name: string) => SwaggerMap | undefined} get
 * @property {(path: string[]) => SwaggerMap | undefined} getIn
 * @property {() => Iterable<string>} keys
 * @property {(value: string) => boolean} includes
 */
/** @typedef {{ specJson(): SwaggerMap }} SpecSelectors */
/** @typedef {{ pathMethod: [path: string, method: string], specSelectors: SpecSelectors }} ParametersProps */
/** @typedef {(state: object, path: string, method: string) => boolean} AllowTryItOut */
/** @typedef {(props: ParametersProps) => object} Component */
/** @typedef {{ createElement(type: string | Component, props: object | null, ...children: unknown[]): object }} React */

/**
 * Whether an operation only ever redirects, as those of the sign-in do. They lead to AuthKit, where a script's
 * request fails (CORS); a navigation goes through.
 *
 * @param {SwaggerMap | undefined} operation
 */
function isNavigation(operation) {
  const tags = operation?.get('tags');
  const statuses = [...(operation?.get('responses')?.keys() ?? [])];
  return Boolean(tags?.includes('sign-in')) && !statuses.some((status) => status.startsWith('2'));
}

/** Offers a link in place of "Execute" where a script's request would fail. @param {{ React: React }} system */
function navigations({ React }) {
  const { createElement } = React;
  return {
    statePlugins: {
      spec: {
        wrapSelectors: {
          /**
           * @param {AllowTryItOut} original
           * @param {{ specSelectors: SpecSelectors }} system
           * @returns {AllowTryItOut}
           */
          allowTryItOutFor: (original, system) => (state, path, method) =>
            !isNavigation(system.specSelectors.specJson().getIn(['paths', path, method])) &&
            original(state, path, method),
        },
      },
    },
    wrapComponents: {
      parameters: (/** @type {Component} */ Parameters) =>
        /** @param {ParametersProps} props */
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
  // @ts-expect-error: the bundle before this script defines the global, and has no types.
  SwaggerUIBundle({
    url: '/openapi.json',
    dom_id: '#swagger-ui',
    deepLinking: true,
    tryItOutEnabled: true,
    defaultModelsExpandDepth: 0,
    plugins: [navigations],
  });
});
