// Shows the API's description. What is tried runs in the browser's own session: the cookie goes along
// by itself, with requests to this origin alone.
window.addEventListener('DOMContentLoaded', () => {
  SwaggerUIBundle({
    url: '/openapi.json',
    dom_id: '#swagger-ui',
    deepLinking: true,
    tryItOutEnabled: true,
    defaultModelsExpandDepth: 0,
  });
});
