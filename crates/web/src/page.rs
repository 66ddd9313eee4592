//! The page under `/_ui/`: the files that `build.rs` packed. Its sources are in `ui/`.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use flate2::read::GzDecoder;
use std::io::Read;
use std::sync::Arc;

/// A file of the page.
struct File {
    path: &'static str,
    kind: &'static str,
    etag: &'static str,
    /// Its bytes, by gzip (RFC 1952).
    packed: &'static [u8],
}

static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// Addresses within the page that are no files: the script shows them.
const VIEWS: [&str; 2] = ["discover", "pipelines"];

/// What the page may do: run and show what it brings along, and ask this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page; over a cluster it is told the name of that, and has none of what only a pond has.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(cluster: Option<String>) -> Router<S> {
    let cluster = cluster.map(Arc::new);
    let (of_index, of_file) = (cluster.clone(), cluster);
    Router::new()
        .route("/_ui", get(async || Redirect::permanent("/_ui/")))
        .route("/_ui/", get(async move |headers: HeaderMap| index(of_index, &headers)))
        .route(
            "/_ui/{*path}",
            get(async move |Path(path): Path<String>, headers: HeaderMap| {
                if VIEWS.contains(&path.as_str()) { index(of_file, &headers) } else { serve(&path, &headers) }
            }),
        )
}

/// The page itself. Over a cluster `<html>` says so, for the script.
fn index(cluster: Option<Arc<String>>, headers: &HeaderMap) -> Response {
    let Some(cluster) = cluster else { return serve("index.html", headers) };
    let mut response = serve("index.html", &HeaderMap::new());
    let Some(file) = FILES.iter().find(|file| file.path == "index.html") else { return response };
    let mut text = String::new();
    if GzDecoder::new(file.packed).read_to_string(&mut text).is_ok() {
        let name = cluster.replace('&', "&amp;").replace('"', "&quot;");
        *response.body_mut() = text.replacen("<html", &format!("<html data-cluster=\"{name}\""), 1).into();
        response.headers_mut().remove(header::ETAG);
    }
    response
}

/// A file, or 404: never the page in place of a file that is missing.
fn serve(name: &str, headers: &HeaderMap) -> Response {
    let Some(file) = FILES.iter().find(|file| file.path == name) else {
        return (StatusCode::NOT_FOUND, "no such file of the page\n").into_response();
    };
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    // Names of files below `assets/` change with their content.
    let keep = if name.starts_with("assets/") { "private, max-age=31536000, immutable" } else { "no-cache" };
    let mut answer = if text(header::IF_NONE_MATCH).is_some_and(|known| known.contains(file.etag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else if text(header::ACCEPT_ENCODING).is_some_and(|codings| codings.contains("gzip")) {
        ([(header::CONTENT_ENCODING, "gzip")], file.packed).into_response()
    } else {
        let mut plain = Vec::new();
        match GzDecoder::new(file.packed).read_to_end(&mut plain) {
            Ok(_) => plain.into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    };
    for (name, value) in [
        (header::CONTENT_TYPE, file.kind),
        (header::ETAG, file.etag),
        (header::CACHE_CONTROL, keep),
        (header::VARY, "accept-encoding"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() { collect(&entry, files) } else { files.push(entry) }
        }
    }

    /// The same sum is made by `ui/vite.config.ts` when the page is built.
    fn sum_of_sources() -> String {
        let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ui");
        let mut files: Vec<PathBuf> =
            ["index.html", "package-lock.json", "vite.config.ts"].map(|name| ui.join(name)).to_vec();
        collect(&ui.join("src"), &mut files);
        collect(&ui.join("public"), &mut files);
        let name = |file: &PathBuf| file.strip_prefix(&ui).unwrap().to_str().unwrap().to_owned();
        files.sort_by_key(name);
        let mut sum = flate2::Crc::new();
        for file in &files {
            sum.update(name(file).as_bytes());
            sum.update(b"\0");
            sum.update(&fs::read(file).unwrap());
            sum.update(b"\0");
        }
        format!("{:08x}", sum.sum())
    }

    #[test]
    fn the_built_page_is_as_new_as_its_sources() {
        let built = FILES.iter().find(|file| file.path == "sources.txt").unwrap();
        let mut sum = String::new();
        GzDecoder::new(built.packed).read_to_string(&mut sum).unwrap();
        assert_eq!(sum.trim(), sum_of_sources(), "the page is older than ui/: run ./dev ui and commit it");
    }

    #[test]
    fn files_and_what_is_none() {
        let headers = |pairs: &[(header::HeaderName, &'static str)]| {
            pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
        };
        let status = |name: &str, asked: &HeaderMap| serve(name, asked).status().as_u16();
        let plain = serve("index.html", &HeaderMap::new());
        assert_eq!(plain.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
        assert!(!POLICY.contains("unsafe"));
        let packed = serve("index.html", &headers(&[(header::ACCEPT_ENCODING, "br, gzip")]));
        assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
        let etag =
            HeaderValue::from_static(FILES.iter().find(|file| file.path == "index.html").unwrap().etag);
        assert_eq!(status("index.html", &[(header::IF_NONE_MATCH, etag)].into_iter().collect()), 304);
        assert_eq!(status("assets/none.js", &HeaderMap::new()), 404);
        assert_eq!(status("../Cargo.toml", &HeaderMap::new()), 404);
    }
}
