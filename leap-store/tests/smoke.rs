use leap_store::*;
#[tokio::test]
async fn smoke() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path().to_str().unwrap(), StoreOptions::default()).await?;
    let c = store.claim("hotel").await?;
    for v in 1..=100 { drop(c.journal.append(v, format!("r{v}").into())); }
    c.journal.append(101, "x".into()).await?;
    c.journal.checkpoint(50, "img".into()).await?;
    c.journal.truncate(90).await?;
    c.journal.append(91, "y".into()).await?;
    assert_eq!(c.journal.read(60).await?.records.len(), 10);
    assert_eq!(c.journal.read(40).await?.records.len(), 40);
    c.journal.prune(60).await?;
    let d = store.claim("hotel").await?;
    assert_eq!(d.recovered.records.len(), 41);
    assert_eq!(d.recovered.checkpoint.unwrap().payload, "img");
    assert!(matches!(c.journal.append(92, "z".into()).await, Err(JournalError::Fenced { by: 2 })));
    println!("{:?} {:?}", c.journal.state(), c.journal.statistics());
    Ok(())
}
