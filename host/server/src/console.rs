//! The console: the page that `host/server/console` builds, embedded in the binary by the feature `console`.
//!
//! It is a client of `/v1` like any other. Nothing of it needs a token, since nothing of the lake is in it: the viewer
//! types a token in, and the page sends it with each call.

use axum::Router;

#[cfg(feature = "console")]
use axum::{
    body::Bytes,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};

/// A file of the page.
#[cfg(feature = "console")]
struct File {
    path: &'static str,
    bytes: &'static [u8],
    /// The same, packed with brotli.
    packed: &'static [u8],
}

#[cfg(feature = "console")]
static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// What the page may do: run its own scripts and styles, and call this server. No script in its markup, no HTML made
/// from text (`trusted-types`), no frame around it, nothing of other hosts.
#[cfg(feature = "console")]
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// Headers of the page and its files.
#[cfg(feature = "console")]
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::VARY, "accept-encoding"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Where Vite puts files whose names hold the hash of their content.
#[cfg(feature = "console")]
const ASSETS: &str = "/assets/";

/// Adds the page: every path that isn't the API's is one of its views, so that each view has a URL.
#[cfg(feature = "console")]
pub(crate) fn mount(router: Router) -> Router {
    router.fallback(page)
}

/// Adds nothing: this binary was built without the page.
#[cfg(not(feature = "console"))]
pub(crate) fn mount(router: Router) -> Router {
    router
}

/// A file of the page, or the page itself for a path that may be a view's.
#[cfg(feature = "console")]
async fn page(request: Request) -> Response {
    let path = request.uri().path();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_view = !path.starts_with("/v1/") && !path.starts_with(ASSETS);
    let file = FILES.iter().find(|file| file.path == path);
    let file = file.or_else(|| FILES.iter().find(|file| is_view && file.path == "/index.html"));
    match file.filter(|_| is_read) {
        Some(file) => file.respond(request.headers()),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[cfg(feature = "console")]
impl File {
    fn respond(&self, asked: &HeaderMap) -> Response {
        let encodings = asked.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_packed = encodings.split(',').any(|encoding| encoding.trim() == "br");
        let mut headers: HeaderMap =
            HEADERS.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
        let (content_type, cache) = (self.content_type(), self.cache());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
        if is_packed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
        }
        (headers, Bytes::from_static(if is_packed { self.packed } else { self.bytes })).into_response()
    }

    fn content_type(&self) -> &'static str {
        match self.path.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "application/octet-stream",
        }
    }

    /// Assets of another content have another name; the page names them.
    fn cache(&self) -> &'static str {
        if self.path.starts_with(ASSETS) { "public, max-age=31536000, immutable" } else { "no-cache" }
    }
}
