//! Bytes that were never written as changes or states of an inventory: refused, or as good as any other.

use bolero::check;
use leap::Machine as _;
use travel::Inventory;

/// What is kept of an inventory can be read again, so that all its invariants hold.
fn keep(inventory: &Inventory) {
    let kept = postcard::to_stdvec(inventory).expect("a state can be written");
    let read: Inventory = postcard::from_bytes(&kept).expect("it was written");
    assert_eq!(postcard::to_stdvec(&read), Ok(kept));
}

/// Applies all that can be read as changes.
fn apply(inventory: &mut Inventory, mut changes: &[u8]) {
    while let Ok((change, rest)) = postcard::take_from_bytes(changes) {
        inventory.apply(change);
        changes = rest;
        keep(inventory);
    }
}

#[test]
fn fuzz_changes_of_an_inventory() {
    check!().for_each(|bytes: &[u8]| {
        // As they are, most fail at the first byte, which is the kind.
        for kind in 0..4 {
            let mut inventory = Inventory::default();
            // Two units, of which one is taken.
            apply(&mut inventory, b"\0\x02\x01\x01t");
            apply(&mut inventory, &[&[kind], bytes].concat());
        }
    });
}

#[test]
fn fuzz_states_of_an_inventory() {
    check!().for_each(|bytes: &[u8]| {
        if let Ok(mut inventory) = postcard::from_bytes::<Inventory>(bytes) {
            keep(&inventory);
            apply(
                &mut inventory,
                b"\x01\x01t\x01\x01u\x02\x01t\x03\0\x09\x01\x01t",
            );
        }
    });
}

#[test]
fn an_inventory_that_contradicts_itself_is_refused() {
    // Capacity, next unit, what is free, what is held, how many were cancelled and repeated.
    for (capacity, next_unit, free, held, is_inventory) in [
        (3_u64, 2_u64, vec![0_u64], vec![("t", 1_u64)], true),
        (1, 2, vec![0], vec![("t", 1)], false),
        (3, 2, vec![], vec![("t", 1)], false),
        (3, 2, vec![0], vec![("t", 2)], false),
        (3, 2, vec![1], vec![("t", 1)], false),
        (3, 2, vec![], vec![("t", 1), ("u", 1)], false),
    ] {
        let state = postcard::to_stdvec(&(capacity, next_unit, free, held, 0_u64, 0_u64));
        let state = state.expect("a state can be written");
        let read = postcard::from_bytes::<Inventory>(&state);
        assert_eq!(read.is_ok(), is_inventory, "{state:?}");
    }
}
