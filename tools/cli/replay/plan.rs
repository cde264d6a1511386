//! Which people are connected at the same time. Knows the script, no connections.

use super::script::Script;

/// Lanes that are played together, with all their people connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Indexes of people, ascending.
    pub people: Vec<usize>,
    /// Indexes of rooms, in order.
    pub rooms: Vec<usize>,
    /// Indexes of lanes, in order.
    pub lanes: Vec<usize>,
}

/// Cuts a script into batches of at most `people_max` people; one room alone may have more. All
/// lanes of a room are in one batch, so that each reader hears a room on one connection.
pub fn batches(script: &Script, people_max: usize) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut batch = Batch::default();
    let mut is_in = vec![false; script.people.len()];
    for (index, room) in script.rooms.iter().enumerate() {
        let new_count = room.people.iter().filter(|person| !is_in[**person]).count();
        if !batch.rooms.is_empty() && batch.people.len() + new_count > people_max {
            batches.push(std::mem::take(&mut batch));
            is_in.fill(false);
        }
        for person in &room.people {
            if !std::mem::replace(&mut is_in[*person], true) {
                batch.people.push(*person);
            }
        }
        batch.rooms.push(index);
        batch.lanes.extend(&room.lanes);
    }
    if !batch.rooms.is_empty() {
        batches.push(batch);
    }
    for batch in &mut batches {
        batch.people.sort_unstable();
        batch.lanes.sort_unstable();
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_whole_rooms_and_everything_once() {
        let mut text = String::new();
        for n in 0..30 {
            for from in [n % 7, (n * 3) % 11, n] {
                let line =
                    format!("{{\"conversation\":\"c{n}\",\"from\":\"p{from}\",\"text\":\"x\"}}\n");
                text.push_str(&line);
            }
        }
        let script = super::super::script::read(text.as_bytes()).unwrap();
        for people_max in [1, 5, 10, 1_000] {
            let batches = batches(&script, people_max);
            let mut rooms: Vec<usize> = batches.iter().flat_map(|b| b.rooms.clone()).collect();
            rooms.sort_unstable();
            assert_eq!(rooms, (0..script.rooms.len()).collect::<Vec<_>>());
            let lane_count: usize = batches.iter().map(|b| b.lanes.len()).sum();
            assert_eq!(lane_count, script.lanes.len());
            for batch in &batches {
                assert!(batch.people.len() <= people_max || batch.rooms.len() == 1);
                for room in &batch.rooms {
                    assert!(script.rooms[*room].people.iter().all(|p| batch.people.contains(p)));
                }
            }
        }
        assert_eq!(batches(&script, 1_000).len(), 1);
    }
}
