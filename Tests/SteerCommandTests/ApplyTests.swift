import KernelTestSupport
import Testing

/// A policy file is put in force whole, or not at all.
@Suite(.kernel)
struct ApplyTests {
    @Test("YAML, JSON, what tubular reads, and standard input")
    func formats() async throws {
        try await withBed { bed in
            let yaml = try bed.write(bed.policy("web"), to: "policy.yaml")
            try verify(bed.steer("apply \(yaml)"), is: "1 binding in force\n")
            try verify(bed.inForce(), is: ["web 80"])

            let json = try bed.write(
                #"{"bindings":[{"label":"api","protocols":"tcp","prefixes":["192.0.2.0/24"],"ports":"81"}]}"#,
                to: "policy.json")
            try verify(bed.json("apply \(json)"), is: .object(["bindings": .number(1), "changed": .flag(true)]))
            try verify(bed.inForce(), is: ["api 81"])

            let tubular = try bed.write(
                #"{"bindings":[{"label":"foo","prefix":"127.0.0.0/8","port":4321},{"label":"all","prefix":"::1/128","port":0}]}"#,
                to: "bindings.json")
            try bed.steer("apply \(tubular) --format tubular")
            try verify(Set(bed.inForce()), is: ["foo 4321", "all all"])

            try bed.steer("apply - <\(yaml)")
            try verify(bed.inForce(), is: ["web 80"])
            // What is written can be applied.
            for format in ["yaml", "json"] {
                try bed.steer("bindings --file \(format) > \(bed.folder)/written.\(format)")
                try verify(bed.steer("apply \(bed.folder)/written.\(format)"), is: "unchanged: 1 binding in force\n")
            }
        }
    }

    @Test("Applying twice changes nothing")
    func twice() async throws {
        try await withBed { bed in
            let file = try bed.write(bed.policy("web"), to: "policy.yaml")
            try bed.steer("apply \(file)")
            let changes = try bed.json("status")["changes"]
            try verify(bed.steer("apply \(file)"), is: "unchanged: 1 binding in force\n")
            try verify(bed.json("apply \(file)")["changed"], is: .flag(false))
            try verify(bed.json("status")["changes"], is: changes)
        }
    }

    @Test("A dry run touches nothing, and shows whose traffic changes hands")
    func dryRun() async throws {
        try await withBed { bed in
            try bed.steer("apply \(bed.write(bed.policy("web", "80,81"), to: "old.yaml"))")
            let new = try bed.write(bed.policy("api", "81,82"), to: "new.yaml")
            let before = try bed.state()
            let text = try bed.steer("apply \(new) --dry-run")
            try verify(
                text,
                is: """
                    - tcp 192.0.2.0/24 80-81 -> label web
                    + tcp 192.0.2.0/24 81-82 -> label api
                    traffic that changes hands:
                      tcp 192.0.2.0/24 80: label web -> not steered
                      tcp 192.0.2.0/24 81: label web -> label api
                      tcp 192.0.2.0/24 82: not steered -> label api

                    """)
            let report = try bed.json("apply \(new) --dry-run")
            try verify(report.keys, is: ["added", "handovers", "labels", "removed"])
            try verify(report["added"].array.map { $0["label"].string }, is: ["api"])
            try verify(report["removed"][0].keys, is: ["label", "ports", "prefix", "protocols"])
            try verify(report["handovers"].array.map { $0["ports"].string }, is: ["80", "81", "82"])
            try verify(report["handovers"][0].keys, is: ["after", "before", "ports", "prefix", "protocols"])
            try verify(bed.state(), is: before)
            try verify(bed.steer("apply \(bed.folder)/old.yaml --dry-run"), is: "nothing would change\n")
        }
    }

    @Test("At boot it loads first; what is loaded stays")
    func load() async throws {
        try await withBed(loaded: false) { bed in
            let file = try bed.write(bed.policy("web"), to: "policy.yaml")
            try bed.refused("apply \(file)", "load it first")
            try bed.refused("apply \(file) --dry-run", "load it first")
            try verify(
                bed.steer("apply \(file) --dry-run --load").contains("+ tcp 192.0.2.0/24 80 -> label web"), "added")
            try verify(bed.bpffs.listing(), is: [])
            let broken = try bed.write("bindings: [", to: "broken.yaml")
            try bed.refused("apply \(broken) --load", "broken.yaml")
            try bed.steer("apply \(file) --load")
            let server = try bed.server("here", port: 8080)
            try bed.steer("register web --pid \(server.pid)")
            try verify(bed.steer("apply \(file) --load"), is: "unchanged: 1 binding in force\n")
            try verify(bed.ask("192.0.2.9", port: 80), is: "here")
        }
    }

    @Test("A file that cannot be read as a policy changes nothing, and is named with the place")
    func broken() async throws {
        try await withBed { bed in
            try bed.steer("apply \(bed.write(bed.policy("web"), to: "good.yaml"))")
            let cases = [
                ("", "bad.yaml"), ("bindings: [", "bad.yaml:"), ("\u{0}\u{1}\u{ff}", "bad.yaml"),
                (bed.policy("web") + "colour: red\n", "colour"),
                (bed.policy("web").replacing("ports", with: "port"), "ports"),
                (bed.policy("web", "99999999999999999999"), "bad.yaml:5"),
                (bed.policy("-x"), "label"), (bed.policy("web").replacing("/24", with: "/99"), "bad.yaml:4"),
                (
                    bed.policy("web") + bed.policy("api").split(separator: "\n").dropFirst().joined(separator: "\n"),
                    "web"
                ),
                ("bindings: []", ""),
            ]
            for (text, hint) in cases {
                try bed.refused("apply \(bed.write(text, to: "bad.yaml"))", hint)
            }
            try bed.refused("apply /nowhere.yaml", "/nowhere.yaml")
            try bed.refused("apply \(bed.folder)", bed.folder)
            try bed.refused("apply - </dev/null", "")
            try bed.refused("apply good.yaml --watch --dry-run", "exclude", exitCode: 64)
            try bed.refused("apply - --watch", "standard input", exitCode: 64)
            let error = try bed.run("apply /nowhere.yaml --json")
            let report = try JSONValue(error.error)
            try verify(error.exitCode == 1 && error.output.isEmpty && report.keys == ["error"], "\(error)")
            try verify(report["error"].keys, is: ["code", "message"])
            try verify(report["error"]["code"].string, is: "invalidPolicyFile")
        }
    }
}
