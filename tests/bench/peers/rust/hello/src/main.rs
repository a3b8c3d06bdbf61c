//! The least that poem can do: what the server's own `/healthz` is held to.

use poem::listener::TcpListener;
use poem::{Route, Server, get, handler};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[handler]
fn hello() -> &'static str {
    "{\"status\":\"ok\"}"
}

#[tokio::main]
async fn main() -> Result<(), std::io::Error> {
    let port = std::env::var("PORT").unwrap_or_default();
    let app = Route::new().at("/healthz", get(hello));
    Server::new(TcpListener::bind(format!("127.0.0.1:{port}")))
        .run(app)
        .await
}
