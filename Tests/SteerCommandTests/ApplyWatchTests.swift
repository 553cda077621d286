import KernelTestSupport
import Testing

/// `apply --watch` follows a file however it is changed.
@Suite(.kernel)
struct ApplyWatchTests {
    private func watch(_ path: String, in bed: Bed) throws -> Background {
        let watcher = try Background(bed.line("apply \(path) --watch"), in: bed)
        try eventually("the first policy") { try watcher.output.contains("in force") }
        return watcher
    }

    private func becomes(_ expected: [String], _ bed: Bed) throws {
        try eventually("\(expected) in force") { try bed.inForce() == expected }
    }

    @Test("Edited in place, and replaced by a rename")
    func edits() async throws {
        try await withBed { bed in
            let path = try bed.write(bed.policy("web"), to: "policy.yaml")
            let watcher = try watch(path, in: bed)
            try verify(bed.inForce(), is: ["web 80"])
            _ = try bed.write(bed.policy("web", "81"), to: "policy.yaml")
            try becomes(["web 81"], bed)
            _ = try bed.write(bed.policy("web", "82"), to: "next.yaml")
            try shell("mv \(bed.folder)/next.yaml \(path)")
            try becomes(["web 82"], bed)
            try verify(watcher.output.split(separator: "\n").count, is: 3)
            try verify(watcher.error, is: "")
        }
    }

    @Test("Kubernetes swaps a link to a directory")
    func links() async throws {
        try await withBed { bed in
            try shell("cd \(bed.folder) && mkdir one two && ln -s one ..data && ln -s ..data/policy.yaml policy.yaml")
            _ = try bed.write(bed.policy("web", "80"), to: "one/policy.yaml")
            _ = try bed.write(bed.policy("web", "81"), to: "two/policy.yaml")
            let watcher = try watch("\(bed.folder)/policy.yaml", in: bed)
            try verify(bed.inForce(), is: ["web 80"])
            try shell("cd \(bed.folder) && ln -s two ..data_tmp && mv -T ..data_tmp ..data && rm -r one")
            try becomes(["web 81"], bed)
            try verify(watcher.error, is: "")
        }
    }

    @Test("A file that it includes is followed, too; one that is broken is named")
    func included() async throws {
        try await withBed { bed in
            let part = try bed.write(bed.policy("web"), to: "part.yaml")
            let path = try bed.write("include: part.yaml\nbindings: []\n", to: "policy.yaml")
            let watcher = try watch(path, in: bed)
            try verify(bed.inForce(), is: ["web 80"])
            _ = try bed.write("bindings: [", to: "part.yaml")
            try eventually("the complaint") { try watcher.error.hasPrefix("steer: \(part):") }
            _ = try bed.write(bed.policy("web", "81"), to: "part.yaml")
            try becomes(["web 81"], bed)
            _ = try bed.write(bed.policy("web", "82"), to: "other.yaml")
            _ = try bed.write("include: other.yaml\nbindings: []\n", to: "policy.yaml")
            try becomes(["web 82"], bed)
            _ = try bed.write(bed.policy("web", "83"), to: "other.yaml")
            try becomes(["web 83"], bed)
        }
    }

    @Test("A broken file keeps the policy and is said; the next good one counts")
    func broken() async throws {
        try await withBed { bed in
            let path = try bed.write(bed.policy("web"), to: "policy.yaml")
            let watcher = try watch(path, in: bed)
            _ = try bed.write("bindings: [", to: "policy.yaml")
            try eventually("the complaint") { try watcher.error.hasPrefix("steer: ") }
            try verify(watcher.error.split(separator: "\n").count, is: 1, "sentences")
            try verify(bed.inForce(), is: ["web 80"])
            try shell("rm \(path)")
            _ = try bed.write(bed.policy("web", "83"), to: "policy.yaml")
            try becomes(["web 83"], bed)
            try watcher.signal("TERM")
            try verify(watcher.exitCode(), is: 143)
            try verify(bed.inForce(), is: ["web 83"])
        }
    }
}
