//! The operator's own folder in place of the page: which files are served, and how.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;

use super::{between, is_html, open, raw, text};
use crate::support::TestApp;
use crate::support::app::send;

/// A folder with an application, and secrets beside it.
fn site(folder: &Path) -> String {
    let root = folder.join("site");
    for sub in ["assets", "manual", "pictures", ".git"] {
        fs::create_dir_all(root.join(sub)).expect("a folder");
    }
    for (name, content) in [
        ("site/index.html", "<title>mine</title>"),
        ("site/assets/app.js", "start()"),
        ("site/assets/logo.bin", "0123456789"),
        ("site/manual/index.html", "<title>manual</title>"),
        ("site/pictures/a <b>.txt", "a"),
        ("site/pictures/.hidden", "secret"),
        ("site/.env", "secret"),
        ("site/.git/config", "secret"),
        ("secret.txt", "secret"),
        ("site-2/secret.txt", "secret"),
    ] {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    }
    fs::write(root.join("assets/big.css"), "a{}".repeat(600_000)).expect("a file");
    for (target, link) in [
        ("../secret.txt", "site/out.txt"),
        ("..", "site/up"),
        ("/etc", "site/pictures/etc"),
        (".env", "site/env.txt"),
        ("assets/app.js", "site/within.js"),
        ("nowhere", "site/broken"),
    ] {
        symlink(target, folder.join(link)).expect("a link");
    }
    root.display().to_string()
}

#[tokio::test]
async fn a_folder_of_ones_own_takes_the_places_of_the_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = site(folder.path());
    let app = TestApp::with(&[("web.root", &root)]).await;
    for path in [
        "/",
        "/questions",
        "/some/place/of/its.own",
        "/questions/new",
        "/manuals",
    ] {
        let page = open(&app, path).await.expect(200);
        assert!(is_html(&page) && text(&page).contains("mine"), "{path}");
        assert_eq!(
            page.header("content-security-policy"),
            "frame-ancestors 'self'"
        );
    }
    // For a missing file, browsers get the application; other clients do not.
    send(app.outside(Method::GET, "/assets/gone.js"))
        .await
        .expect(404)
        .problem("not_found");
    let script = send(app.outside(Method::GET, "/assets/app.js"))
        .await
        .expect(200);
    assert_eq!(text(&script), "start()");
    assert_eq!(
        script.header("content-type"),
        "text/javascript; charset=utf-8"
    );
    assert_eq!(text(&open(&app, "/within.js").await), "start()");
    assert!(text(&open(&app, "/manual/").await.expect(200)).contains("manual"));
    let moved = open(&app, "/manual").await.expect(308);
    assert_eq!(moved.header("location"), "/manual/");
    // The server's own paths take precedence over files.
    for path in [
        "/healthz",
        "/problems",
        "/openapi.json",
        "/.well-known/jwks.json",
    ] {
        let own = open(&app, path).await.expect(200);
        assert!(!text(&own).contains("mine"), "{path}");
    }
    app.get("/questions").await.expect(200);
    open(&app, "/api/v1/nowhere")
        .await
        .expect(404)
        .problem("not_found");
    let frame = open(&app, "/embed/x").await.expect(200);
    let style = between(&text(&frame), "stylesheet\" href=\"", "\"").to_owned();
    open(&app, &style).await.expect(200);
}

#[tokio::test]
async fn nothing_outside_of_the_folder_and_nothing_hidden_is_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = site(folder.path());
    let app = TestApp::with(&[("web.root", &root), ("web.show_index", "true")]).await;
    for path in [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/%252e%252e/secret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "/../site-2/secret.txt",
        "//secret.txt",
        "/./.env",
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/pictures/.hidden",
        "/out.txt",
        "/up/secret.txt",
        "/up/site-2/secret.txt",
        "/env.txt",
        "/pictures/etc/passwd",
        "/.env%00.txt",
        "/secret.txt%00",
        "/%ff",
    ] {
        let answer = raw(&app, path).await;
        let text = text(&answer);
        assert!(
            !text.contains("secret") && !text.contains("root:"),
            "{path}: {text}"
        );
        assert!([200, 400, 404].contains(&answer.status.as_u16()), "{path}");
        assert!(
            answer.status != 200 || text.contains("mine"),
            "{path}: {text}"
        );
    }
    let list = text(&open(&app, "/pictures/").await.expect(200));
    assert!(
        list.contains("<a href=\"/pictures/a%20%3Cb%3E%2Etxt\">a &lt;b&gt;.txt</a>"),
        "{list}"
    );
    assert!(!list.contains("hidden") && !list.contains("etc") && !list.contains("<b>"));
    assert!(text(&open(&app, "/pictures/a%20%3Cb%3E.txt").await.expect(200)) == "a");
    let quiet = TestApp::with(&[("web.root", &root)]).await;
    assert!(text(&open(&quiet, "/pictures/").await.expect(200)).contains("mine"));
    send(quiet.outside(Method::GET, "/pictures/"))
        .await
        .expect(404);

    let trusting = TestApp::with(&[("web.root", &root), ("web.follow_symlinks", "true")]).await;
    assert_eq!(
        text(&open(&trusting, "/out.txt").await.expect(200)),
        "secret"
    );
    for path in ["/../secret.txt", "/.env", "/pictures/.hidden"] {
        assert!(
            !text(&raw(&trusting, path).await).contains("secret"),
            "{path}"
        );
    }
}

/// Alternates between a file and a symbolic link at one path, atomically, until told to stop.
fn swap(root: &Path, name: &str, target: &str, over: &AtomicBool) {
    let place = root.join(name);
    let aside = root.join(format!("{name}.aside"));
    while !over.load(Ordering::Relaxed) {
        fs::write(&aside, "mine").expect("a file");
        fs::rename(&aside, &place).expect("it takes the place");
        symlink(target, &aside).expect("a link");
        fs::rename(&aside, &place).expect("it takes the place");
    }
}

/// The same with a folder, which a link cannot replace atomically.
fn swap_folder(root: &Path, name: &str, target: &str, over: &AtomicBool) {
    let (place, aside) = (root.join(name), root.join(format!("{name}.aside")));
    while !over.load(Ordering::Relaxed) {
        fs::create_dir(&place).expect("a folder");
        fs::write(place.join("secret.txt"), "mine").expect("a file");
        fs::rename(&place, &aside).expect("it makes room");
        symlink(target, &place).expect("a link");
        fs::remove_file(&place).expect("it makes room");
        fs::remove_dir_all(&aside).expect("it goes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_turns_into_a_link_meanwhile_leads_nowhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = site(folder.path());
    let app = TestApp::with(&[("web.root", &root), ("web.show_index", "true")]).await;
    let (root, over) = (Path::new(&root), AtomicBool::new(false));
    fs::write(folder.path().join("site-2/only-outside.txt"), "").expect("a file");
    let mut found = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| swap(root, "outside.txt", "../secret.txt", &over));
        scope.spawn(|| swap(root, "hidden.txt", ".env", &over));
        scope.spawn(|| swap_folder(root, "beside", "../site-2", &over));
        let asking = async {
            for turn in 0..4_000 {
                let name = ["outside.txt", "hidden.txt", "beside/secret.txt", "beside/"];
                let path = format!("/{}", name[turn % name.len()]);
                let answer = send(app.outside(Method::GET, &path)).await;
                let text = text(&answer);
                assert!(text != "secret", "{path}, request {turn}");
                assert!(!text.contains("only-outside"), "{path}, request {turn}");
                assert!([200, 404].contains(&answer.status.as_u16()), "{answer:?}");
                found += usize::from(text == "mine");
            }
        };
        // The swapping ends even if an answer is wrong.
        let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(asking));
        }));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = asked {
            std::panic::resume_unwind(panic);
        }
    });
    assert!(found > 100, "the files themselves are served: {found}");
}

#[tokio::test]
async fn links_within_the_folder_lead_to_what_is_public_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = site(folder.path());
    for (target, link) in [
        (format!("{root}/assets/app.js"), "absolute.js"),
        ("manual/../assets/./app.js".to_owned(), "winding.js"),
        ("assets".to_owned(), "static"),
        ("../index.html".to_owned(), "assets/up.html"),
        (format!("{root}/.env"), "absolute-hidden.txt"),
        (".git".to_owned(), "git"),
        ("../../../../../../etc/passwd".to_owned(), "far.txt"),
        ("circle".to_owned(), "circle"),
        ("assets/app.js/".to_owned(), "slash.js"),
    ] {
        symlink(target, Path::new(&root).join(link)).expect("a link");
    }
    let app = TestApp::with(&[("web.root", &root), ("web.show_index", "true")]).await;
    for path in ["/absolute.js", "/winding.js", "/static/app.js"] {
        let found = send(app.outside(Method::GET, path)).await.expect(200);
        assert_eq!(text(&found), "start()", "{path}");
    }
    assert!(text(&open(&app, "/assets/up.html").await.expect(200)).contains("mine"));
    let list = text(&open(&app, "/static/").await.expect(200));
    assert!(
        list.contains("logo.bin") && list.contains("up.html"),
        "{list}"
    );
    for path in ["/absolute-hidden.txt", "/git/config", "/far.txt", "/circle"] {
        send(app.outside(Method::GET, path)).await.expect(404);
    }
    // Reading a named pipe would block for ever.
    let pipe = Path::new(&root).join("pipe.txt");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo is there").success());
    send(app.outside(Method::GET, "/pipe.txt"))
        .await
        .expect(404);
    let trusting = TestApp::with(&[("web.root", &root), ("web.follow_symlinks", "true")]).await;
    let pipe = trusting.outside(Method::GET, "/pipe.txt");
    send(pipe).await.expect(404);
}

#[tokio::test]
async fn files_come_in_parts_and_only_when_they_have_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = site(folder.path());
    let app = TestApp::with(&[("web.root", &root)]).await;
    let get = |range: &str| {
        app.outside(Method::GET, "/assets/logo.bin")
            .header("range", range)
    };
    let part = send(get("bytes=2-4")).await.expect(206);
    assert_eq!(
        (&part.bytes[..], part.header("content-range")),
        (&b"234"[..], "bytes 2-4/10")
    );
    assert_eq!(part.header("accept-ranges"), "bytes");
    assert_eq!(send(get("bytes=-3")).await.expect(206).bytes, "789");
    for ignored in ["bytes=50-", "bytes=0-1,3-4", "pages=1", "bytes=x"] {
        assert_eq!(
            send(get(ignored)).await.expect(200).bytes.len(),
            10,
            "{ignored}"
        );
    }
    let whole = send(app.outside(Method::GET, "/assets/logo.bin"))
        .await
        .expect(200);
    let tag = whole.header("etag").to_owned();
    // The same tag may belong to another content coding.
    let part = get("bytes=2-4").header("if-range", &tag);
    assert_eq!(send(part).await.expect(200).bytes.len(), 10);
    let known = || {
        let request = app.outside(Method::GET, "/assets/logo.bin");
        send(request.header("if-none-match", &tag))
    };
    assert!(known().await.expect(304).bytes.is_empty());
    fs::write(folder.path().join("site/assets/logo.bin"), "changed").expect("a file");
    assert_eq!(known().await.expect(200).bytes, "changed");

    let head = send(app.outside(Method::HEAD, "/assets/big.css"))
        .await
        .expect(200);
    assert_eq!(head.header("content-length"), "1800000");
    let big = send(app.outside(Method::GET, "/assets/big.css"))
        .await
        .expect(200);
    assert_eq!(big.bytes.len(), 1_800_000);
    let part = app
        .outside(Method::GET, "/assets/big.css")
        .header("range", "bytes=3-2047");
    let part = send(part.header("accept-encoding", "gzip"))
        .await
        .expect(206);
    assert_eq!(
        (part.bytes.len(), part.header("content-encoding")),
        (2045, "")
    );
}
