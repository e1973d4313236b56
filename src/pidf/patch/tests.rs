//! Operations one by one, on documents that show what each of them minds. The samples of RFC 5261 are in
//! tests/conformance.rs.

use super::*;

/// The state after a change, without the XML declaration; or why there is none.
fn patched(state: &str, operations: &str) -> Result<String, String> {
    let change = format!(
        "<p:diff xmlns:p='urn:p' xmlns='urn:d' xmlns:x='urn:x' xmlns:y='urn:y'>{operations}</p:diff>"
    );
    match apply(state.as_bytes(), change.as_bytes(), &Limits::default()) {
        Ok(document) => {
            let text = String::from_utf8(document.to_vec()).expect("UTF-8");
            let (_, root) = text.split_once("?>\n").expect("a declaration");
            Ok(root.to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn gives(state: &str, operations: &str, after: &str) {
    assert_eq!(
        patched(state, operations).as_deref(),
        Ok(after),
        "{operations}"
    );
}

/// Why the only operation fails.
fn fails(state: &str, operation: &str) -> String {
    let error = patched(state, operation).expect_err(operation);
    let told = error.strip_prefix("operation 1 of the change: ");
    told.expect(&error).to_owned()
}

const STATE: &str = "<a xmlns='urn:d' xmlns:z='urn:x'><b i='1'>one</b> <b i='2'>two<c/>more</b><z:b>three</z:b></a>";

#[test]
fn nodes_are_added_where_pos_says() {
    let state = "<a xmlns='urn:d'><b/><c/></a>";
    for (sel, after) in [
        ("sel='a'", "<a xmlns=\"urn:d\"><b/><c/><n/></a>"),
        (
            "sel='a' pos='prepend'",
            "<a xmlns=\"urn:d\"><n/><b/><c/></a>",
        ),
        (
            "sel='a/c' pos='before'",
            "<a xmlns=\"urn:d\"><b/><n/><c/></a>",
        ),
        (
            "sel='a/b' pos='after'",
            "<a xmlns=\"urn:d\"><b/><n/><c/></a>",
        ),
        ("sel='a/b'", "<a xmlns=\"urn:d\"><b><n/></b><c/></a>"),
    ] {
        gives(state, &format!("<p:add {sel}><n/></p:add>"), after);
    }
}

#[test]
fn texts_that_become_neighbours_are_one() {
    let state = "<a xmlns='urn:d'>one<b/>two</a>";
    gives(
        state,
        "<p:remove sel='a/b'/><p:replace sel='a/text()[1]'>all &amp; more</p:replace>",
        "<a xmlns=\"urn:d\">all &amp; more</a>",
    );
    gives(
        state,
        "<p:add sel='a/text()[2]' pos='before'>and <b/>then </p:add><p:remove sel='a/text()[3]'/>",
        "<a xmlns=\"urn:d\">one<b/>and <b/></a>",
    );
}

#[test]
fn a_text_that_is_replaced_by_nothing_goes() {
    gives(
        "<a xmlns='urn:d'><b>x</b><b/></a>",
        "<p:replace sel='a/b/text()'/>",
        "<a xmlns=\"urn:d\"><b/><b/></a>",
    );
    gives(
        "<a xmlns='urn:d' k='v'/>",
        "<p:replace sel='a/@k'/>",
        "<a xmlns=\"urn:d\" k=\"\"/>",
    );
}

#[test]
fn selectors_find_by_name_place_attribute_and_value() {
    for sel in [
        "*/b[2]",
        "/a/b[@i='2']",
        "a/b[c='']",
        "a/b[.=\"twomore\"]",
        "a/*[@i][2]",
        "a/b[@i='2'][1]",
        "a/ b [ @i = '2' ]",
    ] {
        let result = patched(
            STATE,
            &format!("<p:remove sel='{}'/>", sel.replace('\'', "&apos;")),
        );
        if sel == "a/*[@i][2]" {
            let error = "operation 1 of the change: invalid-attribute-value: sel is no selector of RFC 5261";
            assert_eq!(result.expect_err(sel), error);
            continue;
        }
        let after = "<a xmlns=\"urn:d\" xmlns:z=\"urn:x\"><b i=\"1\">one</b> <z:b>three</z:b></a>";
        assert_eq!(result.as_deref(), Ok(after), "{sel}");
    }
    gives(
        "<a xmlns='urn:d'><b id='k'/><c xml:id='l'/></a>",
        "<p:remove sel='id(\"k\")'/><p:add sel='id(\"l\")'>t</p:add>",
        "<a xmlns=\"urn:d\"><c xml:id=\"l\">t</c></a>",
    );
}

#[test]
fn a_selector_names_one_node_or_nothing_is_done() {
    assert_eq!(
        fails(STATE, "<p:remove sel='a/b'/>"),
        "unlocated-node: a/b names 2 nodes"
    );
    assert_eq!(
        fails(STATE, "<p:remove sel='a/b[3]'/>"),
        "unlocated-node: a/b[3] names 0 nodes"
    );
    assert_eq!(
        fails(STATE, "<p:remove sel='a/@i'/>"),
        "unlocated-node: a/@i names 0 nodes"
    );
    assert_eq!(
        fails(STATE, "<p:remove sel='a/b[0]'/>"),
        "unlocated-node: a/b[0] names 0 nodes"
    );
}

#[test]
fn prefixes_mean_what_each_document_says() {
    gives(
        STATE,
        "<p:replace sel='a/x:b'><x:n x:k='v'/></p:replace>",
        "<a xmlns=\"urn:d\" xmlns:z=\"urn:x\"><b i=\"1\">one</b> <b i=\"2\">two<c/>more</b><z:n z:k=\"v\"/></a>",
    );
    assert_eq!(
        fails(STATE, "<p:remove sel='a/z:b'/>"),
        "invalid-namespace-prefix: z"
    );
}

#[test]
fn the_document_gets_the_declarations_that_it_lacks() {
    gives(
        "<s:a xmlns:s='urn:d'/>",
        "<p:add sel='a'><n><y:m/></n></p:add><p:add sel='a' type='@y:k'>v</p:add>",
        "<s:a xmlns:s=\"urn:d\" xmlns:y=\"urn:y\" y:k=\"v\"><s:n xmlns:y=\"urn:y\"><y:m/></s:n></s:a>",
    );
    // A prefix that means something else there, and an element of no namespace below a default one.
    gives(
        "<a xmlns='urn:d' xmlns:y='urn:other' y:k='o'/>",
        "<p:add sel='a' type='@y:k'>v</p:add>",
        "<a xmlns=\"urn:d\" xmlns:y=\"urn:other\" xmlns:ns1=\"urn:y\" y:k=\"o\" ns1:k=\"v\"/>",
    );
    let plain = "<diff><add sel='*'><n/></add></diff>";
    let after = apply(b"<a xmlns='urn:d'/>", plain.as_bytes(), &Limits::default());
    let after = String::from_utf8(after.expect("a change").to_vec()).expect("UTF-8");
    assert!(
        after.ends_with("<a xmlns=\"urn:d\"><n xmlns=\"\"/></a>"),
        "{after}"
    );
}

#[test]
fn of_several_prefixes_the_rules_choose_one() {
    let state = |name: &str| {
        format!("<{name} xmlns='urn:x' xmlns:b='urn:x' xmlns:w='urn:x' xmlns:o='urn:o'/>")
    };
    let added = |name: &str| {
        let after = patched(&state(name), "<p:add sel='*'><x:n/></p:add>").expect("a change");
        after.split_once('>').expect("a tag").1.to_owned()
    };
    // That of the context node, though `w` is closer.
    assert_eq!(added("b:a"), "<b:n/></b:a>");
    // Else the closest one before `x`.
    assert_eq!(added("o:a"), "<w:n/></o:a>");
    // The same one, if it is there.
    let both = "<o:a xmlns:w='urn:x' xmlns:x='urn:x' xmlns:o='urn:o'/>";
    let after = patched(both, "<p:add sel='*'><x:n/></p:add>").expect("a change");
    assert!(after.ends_with("<x:n/></o:a>"), "{after}");
}

#[test]
fn namespace_declarations_come_change_and_go() {
    gives(
        "<a xmlns='urn:d' xmlns:q='urn:q'><q:b q:k='v'><q:c xmlns:q='urn:r'/></q:b></a>",
        "<p:replace sel='a/namespace::q'>urn:s</p:replace><p:add sel='a' type='namespace::t'>urn:t</p:add>",
        "<a xmlns=\"urn:d\" xmlns:q=\"urn:s\" xmlns:t=\"urn:t\"><q:b q:k=\"v\"><q:c xmlns:q=\"urn:r\"/></q:b></a>",
    );
    let state = "<a xmlns='urn:d' xmlns:q='urn:q'><q:b/></a>";
    assert_eq!(
        fails(state, "<p:remove sel='a/namespace::q'/>"),
        "invalid-namespace-prefix: q"
    );
    gives(
        state,
        "<p:remove sel='a/*'/><p:remove sel='a/namespace::q'/>",
        "<a xmlns=\"urn:d\"/>",
    );
    for uri in ["", "http://www.w3.org/XML/1998/namespace"] {
        let operation = format!("<p:replace sel='a/namespace::q'>{uri}</p:replace>");
        assert_eq!(
            fails(state, &operation),
            format!("invalid-namespace-uri: {uri:?} cannot be bound")
        );
    }
}

#[test]
fn comments_and_instructions_are_nodes_too() {
    gives(
        "<?one a?><a xmlns='urn:d'><!--b--><?two?></a>",
        "<p:replace sel='a/comment()'> <!--c--> </p:replace><p:remove sel='a/processing-instruction(\"two\")'/>\
         <p:add sel='processing-instruction()' pos='after'><!--d--></p:add>",
        "<?one a?><!--d--><a xmlns=\"urn:d\"><!--c--></a>",
    );
}

#[test]
fn what_cannot_be_done_is_named() {
    for (operation, error) in [
        ("<p:move sel='a'/>", "invalid-patch-directive: move"),
        ("<add sel='a'/>", "invalid-patch-directive: add"),
        (
            "stray",
            "invalid-patch-directive: text between the operations",
        ),
        (
            "<p:add/>",
            "invalid-attribute-value: an operation without sel",
        ),
        (
            "<p:add sel='a' pos='over'/>",
            "invalid-attribute-value: an unknown pos",
        ),
        (
            "<p:remove sel='a/b[1]' ws='all'/>",
            "invalid-attribute-value: an unknown ws",
        ),
        (
            "<p:remove sel='a/b[1]/@i' ws='both'/>",
            "invalid-attribute-value: ws with an attribute",
        ),
        (
            "<p:remove sel='a/b[1]/text()' ws='both'/>",
            "invalid-attribute-value: ws with text",
        ),
        (
            "<p:add sel='a' type='k'/>",
            "invalid-attribute-value: type is neither @name nor namespace::prefix",
        ),
        (
            "<p:remove sel='a/b[1]' ws='both'/>",
            "invalid-whitespace-directive",
        ),
        ("<p:remove sel='a'/>", "invalid-root-element-operation"),
        (
            "<p:add sel='a' pos='after'><n/></p:add>",
            "invalid-root-element-operation",
        ),
        (
            "<p:add sel='a' type='namespace::z'>urn:q</p:add>",
            "invalid-patch-directive: what is added is there already",
        ),
        (
            "<p:add sel='a/b[1]' type='@i'>3</p:add>",
            "invalid-patch-directive: what is added is there already",
        ),
        (
            "<p:add sel='a/b[1]/text()'>x</p:add>",
            "invalid-node-types: only elements have children",
        ),
        (
            "<p:add sel='a/b[1]/@i'>x</p:add>",
            "invalid-node-types: nothing is added to an attribute",
        ),
        (
            "<p:replace sel='a/b[1]'>x</p:replace>",
            "invalid-node-types: a node is replaced by one of its kind",
        ),
        (
            "<p:replace sel='a/b[1]'><n/><n/></p:replace>",
            "invalid-node-types: a node is replaced by one of its kind",
        ),
        (
            "<p:replace sel='a/b[1]/@i'><n/></p:replace>",
            "invalid-node-types: only text is expected here",
        ),
    ] {
        assert_eq!(fails(STATE, operation), error, "{operation}");
    }
    for sel in [
        "",
        "/",
        "a/",
        "a//b",
        "a/b[",
        "a/b[@i]",
        "a/b[@i=1]",
        "a/@i/b",
        "text()/a",
        "a/b[1",
        "a b",
        "..",
        "a/..",
        "count(a)",
    ] {
        let operation = format!("<p:remove sel='{sel}'/>");
        let error = "invalid-attribute-value: sel is no selector of RFC 5261";
        assert_eq!(fails(STATE, &operation), error, "{sel}");
    }
    let long = format!("<p:remove sel='{}'/>", "a".repeat(1025));
    assert_eq!(
        fails(STATE, &long),
        "invalid-attribute-value: a selector beyond 1024 bytes"
    );
}

#[test]
fn a_change_that_has_a_large_document_searched_again_and_again_is_refused() {
    let state = format!("<a xmlns='urn:d'>{}</a>", "<b i='1'>x</b>".repeat(2000));
    let search = |operations: usize, sel: &str| {
        let operation = format!("<p:replace sel=\"{sel}\"><b i='1'/></p:replace>");
        patched(&state, &operation.repeat(operations)).map(|_| ())
    };
    assert_eq!(search(50, "a/b[1]"), Ok(()));
    let refused = |sel: &str, operations| {
        let error = search(operations, sel).expect_err(sel);
        assert!(error.contains("too many operations"), "{error}");
    };
    refused("a/b[2000]", 400);
    refused(&format!("a/b{}[2000]", "[@i='1']".repeat(80)), 8);
    // Each of so many declarations is compared with every name of the document when it is written.
    let declarations: String = (0..1000)
        .map(|number| format!("<p:add sel='a' type='namespace::n{number}'>urn:{number}</p:add>"))
        .collect();
    let error = patched(&state, &declarations).expect_err("too much");
    assert!(error.contains("too many operations"), "{error}");
}

#[test]
fn a_document_that_grows_beyond_the_limit_is_refused() {
    let uri = "u".repeat(20_000);
    let change = format!(
        "<p:diff xmlns:p='urn:p' xmlns:x='{uri}'>{}</p:diff>",
        "<p:add sel='a'><x:n/></p:add>".repeat(1000)
    );
    let error = apply(b"<a/>", change.as_bytes(), &Limits::default()).expect_err("too large");
    assert_eq!(error.status(), 413, "{error}");
}

/// A piece of a change: mostly what means something, sometimes not.
fn piece() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let sel = prop_oneof![
        Just("a".to_owned()),
        Just("*/*[1]".to_owned()),
        Just("a/b[@i='2']/text()[1]".to_owned()),
        Just("a/b[1]/@i".to_owned()),
        Just("a/namespace::z".to_owned()),
        Just("*/x:b".to_owned()),
        Just("*/*[2]/*".to_owned()),
        "[a-z/\\[\\]@='*.:0-9()]{0,12}",
    ];
    let name = prop_oneof![Just("add"), Just("replace"), Just("remove")];
    let extra = prop_oneof![
        Just(""),
        Just("pos='before'"),
        Just("pos='after'"),
        Just("pos='prepend'"),
        Just("ws='both'"),
        Just("type='@y:k'"),
        Just("type='@k'"),
        Just("type='namespace::z'"),
        Just("type='namespace::w'"),
    ];
    let content = prop_oneof![
        Just(""),
        Just("text &amp; <![CDATA[<more>]]>&#13;"),
        Just("<n xmlns=''><y:m y:k='&lt;'/></n>"),
        Just("<x:n/>tail<!--c--><?pi?>"),
        Just("<z:n xmlns:z='urn:other' z:k='v'><x:m/></z:n>"),
        Just("urn:new"),
    ];
    (name, sel, extra, content).prop_map(|(name, sel, extra, content)| {
        let sel = sel.replace('\'', "&apos;");
        format!("<p:{name} sel='{sel}' {extra}>{content}</p:{name}>")
    })
}

proptest::proptest! {
    /// Whatever is asked for, what comes out is a document whose names are in their namespaces.
    #[test]
    fn what_is_patched_is_well_formed(pieces in proptest::collection::vec(piece(), 1..6)) {
        let mut state = STATE.to_owned();
        for operation in pieces {
            if let Ok(after) = patched(&state, &operation) {
                let result = crate::pidf::xml::check(after.as_bytes(), &Limits::default());
                proptest::prop_assert_eq!(result, Ok(()), "{} gave {}", operation, after);
                state = after;
            }
        }
    }
}
