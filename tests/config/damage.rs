//! The reader does not panic, whatever the text.

use proptest::prelude::*;

use crate::file::{MANUAL, mistakes, parse};

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = parse(&text);
        let _ = mistakes(&text);
    }

    #[test]
    fn no_damaged_file_panics(at in 0..MANUAL.len(), length in 0..40_usize, put in "[\\[\\]\"'{}=.$\n a-z0-9]{0,4}") {
        let kept = |from: usize, to: usize| MANUAL.get(from..to).unwrap_or_default();
        let text = format!("{}{put}{}", kept(0, at), kept(at + length, MANUAL.len()));
        let _ = parse(&text);
    }

    #[test]
    fn no_value_panics(value in "\\PC{0,12}") {
        let value = format!("{value:?}");
        let _ = mistakes(&format!(
            "{value} = {value}\n[tables]\n{value} = {{ owner = {value} }}\n[[hooks]]\nname = {value}\nevents = [{value}]\ntarget = {value}\nsecret = {value}\nfilter = {value}\n[delivery]\ntimeout = {value}\nmemory = {value}\nallow_networks = [{value}]\n"
        ));
    }
}
