//! The smallest case that still shows a finding: delta debugging (Zeller and Hildebrandt 2002) over its
//! steps, then over the bytes of its bodies. Asks whoever calls whether a smaller case still shows it.

use crate::case::{Case, Cut, Step};

/// Questions that one minimisation may ask, and whether there is time for more.
pub struct Budget<'b> {
    /// How many are left.
    pub questions: usize,
    /// Whether there is time.
    pub has_time: &'b mut dyn FnMut() -> bool,
}

impl Budget<'_> {
    fn take(&mut self) -> bool {
        if self.questions == 0 || !(self.has_time)() {
            return false;
        }
        self.questions -= 1;
        true
    }
}

/// The smallest case that was found; `shows` says whether one still shows the finding.
pub fn minimise(
    case: &Case,
    budget: &mut Budget<'_>,
    shows: &mut dyn FnMut(&Case) -> bool,
) -> Case {
    let mut best = case.clone();
    let mut ask = |candidate: &Case, budget: &mut Budget<'_>| budget.take() && shows(candidate);
    let steps = reduce(best.steps.clone(), &mut |steps| {
        let candidate = Case { steps: steps.to_vec(), ..best.clone() };
        ask(&candidate, budget)
    });
    best.steps = steps;
    for index in 0..best.steps.len() {
        for plainer in plainer(&best.steps[index]) {
            let mut candidate = best.clone();
            candidate.steps[index] = plainer;
            if ask(&candidate, budget) {
                best = candidate;
            }
        }
        reduce_body(&mut best, index, budget, &mut ask);
    }
    best
}

/// Removes what is not needed, in blocks that get smaller.
fn reduce<T: Clone>(mut items: Vec<T>, shows: &mut dyn FnMut(&[T]) -> bool) -> Vec<T> {
    let mut len = items.len().div_ceil(2);
    while len > 0 && !items.is_empty() {
        let mut at = 0;
        let mut is_reduced = false;
        while at < items.len() {
            let end = (at + len).min(items.len());
            let left: Vec<T> = items[..at].iter().chain(&items[end..]).cloned().collect();
            if shows(&left) {
                items = left;
                is_reduced = true;
            } else {
                at = end;
            }
        }
        if len == 1 && !is_reduced {
            break;
        }
        len = if len == 1 { 1 } else { len / 2 };
    }
    items
}

/// The same step without what makes it unusual.
fn plainer(step: &Step) -> Vec<Step> {
    let Step::Send { conn, frame } = step else { return Vec::new() };
    let mut plainer = Vec::new();
    if frame.cut != Cut::Whole {
        let mut frame = frame.clone();
        frame.cut = Cut::Whole;
        plainer.push(Step::Send { conn: *conn, frame });
    }
    for index in 0..frame.head.len() {
        let mut frame = frame.clone();
        frame.head.remove(index);
        plainer.push(Step::Send { conn: *conn, frame });
    }
    plainer
}

fn reduce_body(
    best: &mut Case,
    index: usize,
    budget: &mut Budget<'_>,
    ask: &mut dyn FnMut(&Case, &mut Budget<'_>) -> bool,
) {
    let body_of = |case: &Case| match &case.steps[index] {
        Step::Send { frame, .. } => Some(frame.body.clone()),
        Step::Raw { bytes, .. } => Some(bytes.clone()),
        _ => None,
    };
    let Some(mut body) = body_of(best) else { return };
    let mut len = body.len();
    while len > 0 {
        let mut at = 0;
        while at < body.len() {
            let left = body.without(at, len);
            let mut candidate = best.clone();
            match &mut candidate.steps[index] {
                Step::Send { frame, .. } => frame.body = left.clone(),
                Step::Raw { bytes, .. } => *bytes = left.clone(),
                _ => return,
            }
            if ask(&candidate, budget) {
                *best = candidate;
                body = left;
            } else {
                // A field may begin anywhere.
                at += len.div_ceil(2);
            }
        }
        len = if len == 1 { 0 } else { len.div_ceil(2) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Frame;
    use crate::parts::Parts;
    use crate::world::plain;

    /// With enough time.
    fn minimised(case: &Case, shows: &mut dyn FnMut(&Case) -> bool) -> Case {
        let mut has_time = || true;
        minimise(case, &mut Budget { questions: 500, has_time: &mut has_time }, shows)
    }

    /// Of a case of one frame.
    fn only_body(case: &Case) -> &Parts {
        let [Step::Send { frame, .. }] = &case.steps[..] else { panic!("{case:?}") };
        &frame.body
    }

    #[test]
    fn only_what_matters_is_left() {
        let send = |cmd: u16| {
            let body = plain(&[1, 2, 3, 4, 5, 6, 7, 8]);
            let frame = Frame { cmd, body, cut: Cut::Pieces(3), ..Frame::default() };
            Step::Send { conn: 0, frame }
        };
        let case = Case { steps: (0..16).map(send).collect(), ..Case::default() };
        let mut questions = 0;
        let mut shows = |case: &Case| {
            questions += 1;
            let has = |wanted: u16| {
                let is_it =
                    |step: &Step| matches!(step, Step::Send { frame, .. } if frame.cmd == wanted);
                case.steps.iter().any(is_it)
            };
            has(3) && has(11)
        };
        let least = minimised(&case, &mut shows);
        let frames: Vec<&Frame> = least
            .steps
            .iter()
            .filter_map(|step| if let Step::Send { frame, .. } = step { Some(frame) } else { None })
            .collect();
        assert_eq!(frames.iter().map(|frame| frame.cmd).collect::<Vec<_>>(), [3, 11]);
        assert!(frames.iter().all(|frame| frame.body.is_empty() && frame.cut == Cut::Whole));
        assert!(questions < 100, "{questions}");
    }

    #[test]
    fn a_field_goes_that_stands_between_others() {
        // Three fields of two bytes, and the second may go only as a whole.
        let body = plain(&[0x08, 9, 0x10, 1, 0x18, 16]);
        let frame = Frame { cmd: 7, body, ..Frame::default() };
        let case = Case { steps: vec![Step::Send { conn: 0, frame }], ..Case::default() };
        let wanted = [vec![0x08, 9, 0x10, 1, 0x18, 16], vec![0x08, 9, 0x18, 16]];
        let mut shows = |case: &Case| match &case.steps[..] {
            [Step::Send { frame, .. }] => wanted.contains(&frame.body.resolve(|_, _| ())),
            _ => false,
        };
        let least = minimised(&case, &mut shows);
        assert_eq!(only_body(&least).len(), 4);
    }

    #[test]
    fn bytes_go_too_and_the_budget_holds() {
        let frame = Frame { cmd: 7, body: plain(&[0; 300]), ..Frame::default() };
        let case = Case {
            steps: vec![Step::Send { conn: 0, frame }, Step::Wait { conn: 0 }],
            ..Case::default()
        };
        let mut shows = |case: &Case| match &case.steps[..] {
            [Step::Send { frame, .. }, ..] => frame.body.len() >= 5,
            _ => false,
        };
        let least = minimised(&case, &mut shows);
        assert_eq!(only_body(&least).len(), 5);
        let mut has_time = || true;
        let mut budget = Budget { questions: 3, has_time: &mut has_time };
        let mut asked = 0;
        minimise(&case, &mut budget, &mut |_| {
            asked += 1;
            false
        });
        assert_eq!(asked, 3);
    }
}
