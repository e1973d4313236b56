use super::*;

const REGISTRY: ModuleId = ModuleId(1);
const WATCHER: ModuleId = ModuleId(2);

fn presence(method: Method) -> Route {
    Route::package(method, "presence")
}

#[test]
fn a_request_belongs_to_who_claimed_its_method_and_package() {
    let table = ModuleTable::builder()
        .module(
            REGISTRY,
            "registry",
            &[
                presence(Method::Publish),
                presence(Method::Subscribe),
                Route::method(Method::Register),
            ],
            Sharding::ByPresentity,
        )
        .module(
            WATCHER,
            "watcher",
            &[presence(Method::Notify)],
            Sharding::One,
        )
        .build()
        .expect("no conflict");
    let registry = Claimed::By(REGISTRY, Sharding::ByPresentity);
    assert_eq!(table.find(&Method::Publish, Some("presence")), registry);
    assert_eq!(table.find(&Method::Register, None), registry);
    assert_eq!(table.find(&Method::Register, Some("presence")), registry);
    let watcher = Claimed::By(WATCHER, Sharding::One);
    assert_eq!(table.find(&Method::Notify, Some("presence")), watcher);
    assert_eq!(
        table.find(&Method::Subscribe, Some("Presence")),
        Claimed::NoPackage
    );
    assert_eq!(table.find(&Method::Subscribe, None), Claimed::NoPackage);
    assert_eq!(table.find(&Method::Message, None), Claimed::NoMethod);
}

#[test]
fn a_claim_of_one_package_goes_before_a_claim_of_the_method() {
    for reversed in [false, true] {
        let claims = [
            (REGISTRY, Route::method(Method::Subscribe)),
            (WATCHER, presence(Method::Subscribe)),
        ];
        let order = if reversed { [1, 0] } else { [0, 1] };
        let table = order
            .into_iter()
            .fold(ModuleTable::builder(), |builder, which| {
                let (id, route) = &claims[which];
                builder.module(*id, "m", std::slice::from_ref(route), Sharding::One)
            })
            .build()
            .expect("no conflict");
        let by = |package| table.find(&Method::Subscribe, package);
        assert_eq!(by(Some("presence")), Claimed::By(WATCHER, Sharding::One));
        assert_eq!(by(Some("dialog")), Claimed::By(REGISTRY, Sharding::One));
        assert_eq!(by(None), Claimed::By(REGISTRY, Sharding::One));
    }
}

#[test]
fn two_modules_can_not_claim_the_same() {
    let claims = [presence(Method::Publish), Route::manager("PRESENCE")];
    for (twice, again) in [
        (&claims[0], &claims[0]),
        (&claims[1], &Route::Manager(" presence ".into())),
    ] {
        let built = ModuleTable::builder()
            .module(REGISTRY, "registry", &claims, Sharding::ByPresentity)
            .module(
                WATCHER,
                "watcher",
                std::slice::from_ref(again),
                Sharding::One,
            )
            .build();
        let conflict = built.expect_err("a conflict");
        assert!(
            matches!(&conflict, ClaimConflict::Route { holder, claimant, .. }
            if holder == "registry" && claimant == "watcher"),
            "{twice:?}: {conflict}"
        );
    }
}

#[test]
fn two_modules_can_not_have_one_id() {
    let built = ModuleTable::builder()
        .module(REGISTRY, "registry", &[], Sharding::One)
        .observer(REGISTRY, "ladder")
        .build();
    let conflict = ClaimConflict::Id {
        holder: "registry".into(),
        claimant: "ladder".into(),
    };
    assert_eq!(built.expect_err("a conflict"), conflict);
}

#[test]
fn header_values_follow_from_the_claims() {
    let table = ModuleTable::builder()
        .module(
            REGISTRY,
            "registry",
            &[
                presence(Method::Subscribe),
                presence(Method::Publish),
                Route::package(Method::Subscribe, "dialog"),
            ],
            Sharding::ByPresentity,
        )
        .accepts(&["application/pidf+xml"])
        .supports(&["eventlist"])
        .observer(WATCHER, "ladder")
        .build()
        .expect("no conflict");
    assert_eq!(table.allow(), "OPTIONS, PUBLISH, SUBSCRIBE");
    assert_eq!(table.allow_events(), "dialog, presence");
    assert_eq!(table.accept(), "application/pidf+xml");
    assert_eq!(table.supported(), ["eventlist"]);
    assert_eq!(table.observers(), [WATCHER]);
    assert_eq!(table.name(REGISTRY), Some("registry"));
}

#[test]
fn manager_types_are_found_without_regard_to_case_and_blanks() {
    let table = ModuleTable::builder()
        .module(
            REGISTRY,
            "buffer",
            &[Route::manager("PRESENCE")],
            Sharding::One,
        )
        .build()
        .expect("no conflict");
    assert_eq!(table.manager(" Presence\n"), Some(REGISTRY));
    assert_eq!(table.manager("PRESENCES"), None);
}

#[test]
fn a_shard_stays_the_same_in_every_version() {
    let shards = |aor| [1, 2, 4, 7, 255].map(|shards| shard_of(aor, shards));
    assert_eq!(shards("sip:alice@example.com"), [0, 1, 1, 5, 66]);
    assert_eq!(shards("sip:bob@example.com"), [0, 1, 3, 4, 242]);
}

#[test]
fn presentities_spread_evenly_over_shards() {
    let mut count = [0; 4];
    for number in 0..4_000 {
        count[usize::from(shard_of(&format!("sip:user{number}@example.com"), 4))] += 1;
    }
    assert!(
        count
            .iter()
            .all(|&presentities| (900..1_100).contains(&presentities)),
        "{count:?}"
    );
}

#[test]
fn a_tag_names_a_shard_that_exists_or_none() {
    assert_eq!(shard_in("03abcdef", 4), Some(3));
    assert_eq!(shard_in("04abcdef", 4), None);
    for tag in ["", "0", "+1ab", "zz", "é0"] {
        assert_eq!(shard_in(tag, 4), None, "{tag}");
    }
}
