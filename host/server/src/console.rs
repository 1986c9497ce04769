//! The console: the page that `host/server/console` builds, embedded in the binary by the feature `console`.
//!
//! It is a client of `/v1` like any other. Nothing of it needs a token, since nothing of the lake is in it: the viewer
//! types a token in, and the page sends it with each call.

use axum::Router;

#[cfg(feature = "console")]
use {
    crate::error::ApiError,
    axum::extract::Request,
    axum::http::{HeaderName, HeaderValue, Method, StatusCode, header},
    axum::middleware::{Next, from_fn},
    axum::response::{IntoResponse, Response},
    memory_serve::CacheControl,
};

/// What the page may do: run its own scripts and styles, and call this server. No script in its markup, no HTML made
/// from text (`trusted-types`), no frame around it, nothing of other hosts.
#[cfg(feature = "console")]
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// Other headers of the page and its files.
#[cfg(feature = "console")]
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Where Vite puts files whose names hold the hash of their content.
#[cfg(feature = "console")]
const ASSETS: &str = "/assets/";

/// Adds the page: every path that isn't the API's is one of its views, so that each view has a URL.
#[cfg(feature = "console")]
pub(crate) fn mount(router: Router) -> Router {
    let page = memory_serve::load!()
        .index_file(Some("/index.html"))
        .fallback(Some("/index.html"))
        .fallback_status(StatusCode::OK)
        .html_cache_control(CacheControl::NoCache)
        .cache_control(CacheControl::Long)
        .into_router()
        .layer(from_fn(secure));
    router.merge(page)
}

/// Adds nothing: this binary was built without the page.
#[cfg(not(feature = "console"))]
pub(crate) fn mount(router: Router) -> Router {
    router
}

/// The page with its headers. What no view can be is not found.
#[cfg(feature = "console")]
async fn secure(request: Request, next: Next) -> Response {
    let (path, method) = (request.uri().path().to_owned(), request.method().clone());
    let is_read = matches!(method, Method::GET | Method::HEAD);
    let mut response = next.run(request).await;
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_page = content_type.is_some_and(|value| value.starts_with("text/html"));
    if !is_read || path.starts_with("/v1/") || (path.starts_with(ASSETS) && is_page) {
        let error = format!("there is no {method} {path}");
        return ApiError::new(StatusCode::NOT_FOUND, error, "see /openapi.json").into_response();
    }
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
