//! hyper runs unmodified over simulated streams, client and server.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use swarm_env::{Env, Stream, hyper_rt};

use crate::world::{hosts, ip};

async fn reverse(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    let mut bytes = body.unwrap_or_default().to_vec();
    bytes.reverse();
    Ok(Response::new(Full::new(bytes.into())))
}

async fn serve(env: Env) {
    let listener = env.net().listen(80).await.expect("a free port");
    loop {
        let (stream, _) = listener.accept().await.expect("the host lives");
        drop(env.spawn("connection", serve_stream(stream)));
    }
}

async fn serve_stream(stream: Stream) {
    let served = hyper::server::conn::http1::Builder::new()
        .auto_date_header(false)
        .serve_connection(hyper_rt::io(stream), service_fn(reverse));
    served.await.expect("an orderly end");
}

#[test]
fn hyper_serves_and_asks_over_simulated_streams() {
    let (mut sim, world, ids) = hosts(1, 2);
    drop(world.env(ids[1]).spawn("server", serve(world.env(ids[1]))));
    let env = world.env(ids[0]);
    sim.block_on(ids[0], async move {
        let stream = env.net().connect(SocketAddr::from((ip(2), 80))).await.expect("it listens");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(hyper_rt::io(stream)).await.expect("a handshake");
        let driver = env.spawn("connection", connection);
        for size in [0_usize, 1, 100_000, 3_000_000] {
            let sent: Vec<u8> = (0..size).map(|n| (n % 253) as u8).collect();
            let body = Full::new(Bytes::from(sent.clone()));
            let request = Request::post("/").header("host", "b").body(body).expect("valid");
            let answer = sender.send_request(request).await.expect("an answer");
            let mut got = answer.into_body().collect().await.expect("a body").to_bytes().to_vec();
            got.reverse();
            assert!(got == sent, "{size} bytes");
        }
        drop(sender);
        driver.join().await.expect("it ends").expect("in order");
    });
    assert_eq!(world.panics(), []);
}
