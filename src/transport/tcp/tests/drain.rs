//! A node that ends.

use weir_loadtest::port::Reserved;

use super::*;

impl Stage {
    /// Nobody else gets its port when nothing is accepted there any more.
    fn reserved(&self) -> Reserved {
        Reserved::at(([0, 0, 0, 0], self.address.port()).into()).unwrap()
    }
}

#[tokio::test]
async fn idle_connections_close_at_once_and_nothing_is_accepted() {
    let stage = Stage::clear();
    let mut h1 = stage.h1().await;
    let mut h2 = stage.h2().await;
    let mut silent = stage.raw().await;
    octets(h1.get("/").await).await.unwrap();
    octets(h2.get("/").await).await.unwrap();
    stage.until(|| stage.admission.total() == 3).await;
    let _reserved = stage.reserved();
    stage.drain.begin();
    stage.until(|| stage.admission.total() == 0).await;
    rest(&mut silent).await;
    assert!(h1.send(get("/")).await.is_err());
    assert!(h2.send(get_h2("/")).await.is_err());
    stage.serving.await.unwrap().unwrap();
    assert!(TcpStream::connect(stage.address).await.is_err());
    stage.tasks.close();
    stage.tasks.joined().await;
}

#[tokio::test]
async fn what_is_going_on_ends_well() {
    for stage in [Stage::clear(), Stage::tls()] {
        let (mut h1, mut h2) = match stage.is_tls {
            true => (stage.h1_tls().await, stage.h2_tls().await),
            false => (stage.h1().await, stage.h2().await),
        };
        let tasks = Tasks::current();
        let first = tasks.spawn("viewer", async move { h1.get("/hold").await });
        let second = tasks.spawn("viewer", async move { octets(h2.get("/hold").await).await.unwrap() });
        stage.serving(2).await;
        stage.drain.begin();
        stage.settle().await;
        stage.service.gate.notify_waiters();
        let first = first.await.unwrap();
        assert_eq!(first.headers()["connection"], "close");
        assert_eq!(octets(first).await.unwrap(), "held");
        assert_eq!(second.await.unwrap(), "held");
        stage.until(|| stage.admission.total() == 0).await;
    }
}

#[tokio::test]
async fn what_does_not_end_is_cut() {
    let stage = Stage::tls();
    let mut h1 = stage.h1_tls().await;
    let mut h2 = stage.h2_tls().await;
    let first = h1.get("/endless").await;
    let second = h2.get("/endless").await;
    stage.serving(2).await;
    stage.drain.begin();
    stage.settle().await;
    assert_eq!(stage.admission.total(), 2);
    stage.drain.cut();
    assert!(octets(first).await.is_err());
    assert!(octets(second).await.is_err());
    stage.until(|| stage.admission.total() == 0).await;
    stage.serving(0).await;
}
