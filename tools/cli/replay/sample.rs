//! Makes dialogues in many scripts from a seed, for tests and for trying a server. Sends nothing.

use std::io::Write;

use aldis_client::core::ids::Rng;
use aldis_wire::limits::TEXT_BYTES_MAX;
use serde_json::json;

/// Phrases of many languages and what makes texts hard: right to left, combining marks, joiners,
/// wide and astral characters, control characters, white space of all kinds, escapes, markup.
const PHRASES: &[&str] = &[
    "Hello, how are you?",
    "Did you see that?",
    "¿Qué tal? ¡Muy bien!",
    "Ça va être une très bonne journée",
    "Größe, Straße, Äpfel, Übung",
    "Zażółć gęślą jaźń",
    "Příliš žluťoučký kůň",
    "Árvíztűrő tükörfúrógép",
    "İstanbul'da ığdır şöyle",
    "Þetta er íslenska",
    "Ñandú y pingüino",
    "Привет, как дела?",
    "Щось цікаве, їжак",
    "Здравей, свят",
    "Γειά σου Κόσμε",
    "Բարեւ, աշխարհ",
    "გამარჯობა მსოფლიო",
    "שלום עולם, מה נשמע?",
    "مرحبا بالعالم، كيف حالك؟",
    "سلام دنیا، می‌خواهم بروم",
    "ہیلو، آپ کیسے ہیں؟",
    "नमस्ते दुनिया, क्या हाल है?",
    "হ্যালো বিশ্ব",
    "ਸਤਿ ਸ੍ਰੀ ਅਕਾਲ",
    "નમસ્તે દુનિયા",
    "வணக்கம் உலகம்",
    "నమస్కారం ప్రపంచం",
    "ನಮಸ್ಕಾರ ಜಗತ್ತು",
    "ഹലോ ലോകം",
    "ආයුබෝවන් ලෝකය",
    "สวัสดีชาวโลก สบายดีไหม",
    "ສະບາຍດີຊາວໂລກ",
    "မင်္ဂလာပါ ကမ္ဘာလောက",
    "សួស្តីពិភពលោក",
    "བཀྲ་ཤིས་བདེ་ལེགས།",
    "ᠮᠣᠩᠭᠣᠯ ᠪᠢᠴᠢᠭ",
    "ሰላም ልዑል",
    "ߊߟߎ߫ ߣߌ߫ ߛߐ߲ߜߐߡߊ",
    "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ",
    "ᐃᓄᒃᑎᑐᑦ",
    "你好，世界！今天怎么样？",
    "繁體中文測試：龍龜鬱",
    "こんにちは世界、元気ですか？",
    "ｶﾀｶﾅ と ひらがな",
    "안녕하세요 세계",
    "ㅋㅋㅋㅋ 진짜?",
    "Xin chào thế giới, khoẻ không?",
    "Habari ya dunia",
    "Sawubona mhlaba",
    "𐌷𐌰𐌹𐌻𐌰 𐌳𐌰𐌿𐌼𐌰",
    "𝕬𝖑𝖉𝖎𝖘 𝓼𝓬𝓻𝓲𝓹𝓽",
    "𠜎𠜱𠝹𠱓",
    "👍🏽👩‍👩‍👧‍👦🏳️‍🌈🇪🇺",
    "😀😂🥲🫠 ok",
    "👩🏾‍💻 → 🚀 → 🌍",
    "e\u{301} is not é",
    "Z\u{351}\u{36b}\u{343}a\u{321}l\u{353}g\u{310}o\u{35e}",
    "\u{202e}desrever\u{202c} text",
    "\u{200f}אבג\u{200e}abc",
    "a\u{200b}b\u{200d}c\u{feff}d",
    "\u{0}\u{1}\u{7f}\u{9b}",
    "\u{1b}[31mred\u{1b}[0m\u{7}",
    "line one\nline two\r\nline three",
    "\ttab\u{a0}nbsp\u{3000}wide",
    " ",
    "\n",
    ".",
    "0",
    "null",
    "\"quoted\" \\ back\\slash / \u{8}",
    "'; DROP TABLE im_user; --",
    "%s %n {} ${x} <b>&amp;</b>",
    "{\"json\": [1, 2]}",
    "https://example.org/a?b=c&d=%20#e",
    "\u{fffd}\u{ffff}\u{10ffff}",
    "ﬁ ﬂ Ⅷ ㎏ ½",
    "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
];

/// Names of people: any script, spaces, punctuation, and some that differ by little.
const NAMES: &[&str] = &[
    "Ada Lovelace",
    "ada lovelace",
    "Ада",
    "小明",
    "小 明",
    "محمد",
    "נועה",
    "अनिल",
    "สมชาย",
    "김민준",
    "さくら",
    "O'Brien, Pat",
    "Zoë",
    "Zoe\u{308}",
    "🙂",
    "🙃",
    "user@example.org",
    "#1",
    "-",
    "Dr. X (home)",
    "Ελένη",
    "Müller",
];

/// The longest texts are rare, so that samples stay small.
const LONG_ONE_IN: u64 = 400;
/// Lines of one conversation, on average.
const LINES_PER_LANE: u64 = 12;

/// Writes a file of `line_count` lines.
pub fn write(out: &mut impl Write, seed: u64, line_count: usize) -> std::io::Result<()> {
    let mut rng = Rng::new(seed);
    let lane_count = (line_count as u64 / LINES_PER_LANE).max(1);
    let people_count = (lane_count / 3).max(5);
    for _ in 0..line_count {
        let lane = rng.below(lane_count);
        // The people of a conversation follow from its number: sizes from 1 to 12, mostly 2.
        let mut lane_rng = Rng::new(seed ^ lane.wrapping_mul(0x9E37_79B9));
        let size = match lane_rng.below(20) {
            0 => 1,
            1..=13 => 2,
            14..=18 => 3 + lane_rng.below(3),
            _ => 6 + lane_rng.below(7),
        };
        // Every tenth pair talks under several labels.
        let first = if lane.is_multiple_of(10) { 0 } else { lane_rng.below(people_count) };
        let speaker = (first + rng.below(size)) % people_count;
        let line = json!({
            "conversation": format!("{} {lane}", pick(&mut lane_rng, PHRASES)),
            "from": person(speaker),
            "text": text(&mut rng),
        });
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn person(number: u64) -> String {
    let name = usize::try_from(number).ok().and_then(|index| NAMES.get(index));
    name.map_or_else(
        || format!("{} {number}", NAMES[number as usize % NAMES.len()]),
        |n| (*n).to_owned(),
    )
}

fn text(rng: &mut Rng) -> String {
    let mut text = String::new();
    let phrase_count = match rng.below(LONG_ONE_IN) {
        0 => return exactly_longest(rng),
        1..=10 => 50 + rng.below(400),
        11..=100 => 5 + rng.below(20),
        _ => 1 + rng.below(3),
    };
    for n in 0..phrase_count {
        let phrase = pick(rng, PHRASES);
        if text.len() + phrase.len() + 1 > TEXT_BYTES_MAX {
            break;
        }
        if n > 0 {
            text.push(' ');
        }
        text.push_str(phrase);
    }
    text
}

/// A text at the limit to the byte.
fn exactly_longest(rng: &mut Rng) -> String {
    let mut text = String::new();
    loop {
        let phrase = pick(rng, PHRASES);
        if text.len() + phrase.len() > TEXT_BYTES_MAX {
            text.extend(std::iter::repeat_n('.', TEXT_BYTES_MAX - text.len()));
            return text;
        }
        text.push_str(phrase);
    }
}

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    let index = rng.below(from.len() as u64);
    usize::try_from(index).ok().and_then(|index| from.get(index)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_valid_varied_and_the_same_for_its_seed() {
        let make = |seed| {
            let mut out = Vec::new();
            write(&mut out, seed, 3_000).unwrap();
            out
        };
        let bytes = make(7);
        assert_eq!(bytes, make(7));
        assert_ne!(bytes, make(8));
        let script = super::super::script::read(&bytes[..]).unwrap();
        assert_eq!(script.lines.len(), 3_000);
        assert!(script.rooms.iter().any(|room| room.is_group()));
        assert!(script.rooms.iter().any(|room| room.people.len() == 1));
        assert!(script.rooms.len() < script.lanes.len(), "some labels share their two people");
        assert!(script.lines.iter().any(|line| line.text.len() == TEXT_BYTES_MAX));
    }
}
