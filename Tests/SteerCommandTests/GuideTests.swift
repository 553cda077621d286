import Foundation
import KernelTestSupport
import Testing

/// docs/steer.md does what it says; the units are sound.
@Suite(.kernel)
struct GuideTests {
    @Test("The commands of docs/steer.md run in their order, and print what stands there")
    func commands() async throws {
        let blocks = try Guide.blocks(of: "docs/steer.md")
        #expect(blocks.filter { $0.language == "sh" }.count >= 8)
        #expect(Set(blocks.map(\.language)) == ["sh", "output", "ini"])
        try await withBed(loaded: false) { bed in
            // `steer VERB ...` as it stands there, with this test's BPF file system.
            var script = """
                cd \(bed.folder); set -e
                steer() { verb=$1; shift; case $verb in -*) \(bed.steer) $verb "$@";; pool) \(bed.steer) pool "$@" --bpffs \(bed.bpffs.path);; *) \(bed.steer) $verb --bpffs \(bed.bpffs.path) "$@";; esac; }
                mkdir bin; ln -s \(try Programs.path(of: "steer-dns")) bin/steer-dns; PATH=$PWD/bin:$PATH

                """
            for (index, block) in blocks.filter({ $0.language == "sh" }).enumerated() {
                script += "exec >\(bed.folder)/block-\(index)\n\(block.text)\n"
            }
            let path = try bed.write(script, to: "guide.sh")
            let run = try bed.sh("timeout $((10 * PATIENCE)) bash \(path)")
            try verify(run.exitCode == 0 && run.error.isEmpty, "\(run)")
            var index = -1
            for block in blocks {
                if block.language == "sh" { index += 1 }
                guard block.language == "output" else { continue }
                let printed = try shell("cat \(bed.folder)/block-\(index)").split(separator: "\n")
                for line in block.text.split(separator: "\n") {
                    try verify(printed.contains(line), "'\(line)' in block \(index): \(printed)")
                }
            }
        }
    }

    @Test("systemd finds the units sound, and their exposure OK")
    func units() async throws {
        try await withBed(loaded: false) { bed in
            let units = [
                "steer.service", "steer-metrics.service", "steer-dns.service", "steerd.service", "steerd.socket",
            ]
            for unit in units {
                // The command is where it will be installed; here it is somewhere else.
                try shell(
                    "sed 's#/usr/bin/steer#\(bed.steer)#; /^Documentation/d' \(Guide.root.path)/docs/systemd/\(unit) >\(bed.folder)/\(unit)"
                )
            }
            try shell(
                "mkdir \(bed.folder)/steerd.service.d; cp \(Guide.root.path)/docs/systemd/steerd-start.conf \(bed.folder)/steerd.service.d/start.conf"
            )
            let paths = units.map { "\(bed.folder)/\($0)" }.joined(separator: " ")
            let verified = try bed.sh("systemd-analyze verify --recursive-errors=no \(paths)")
            // systemd before 254 passes over what it does not know.
            let complaints = verified.error.split(separator: "\n").filter {
                !$0.contains("Unknown key name 'FileDescriptorStorePreserve'")
                    && !$0.contains("Unknown key 'FileDescriptorStorePreserve'")
            }
            // What it passes over makes it fail, too.
            try verify(complaints.isEmpty && (verified.exitCode == 0 || !verified.error.isEmpty), "\(verified)")
            // Tenths: 2.8 and no more.
            let services = units.filter { $0.hasSuffix(".service") }.map { "\(bed.folder)/\($0)" }.joined(
                separator: " ")
            let security = try bed.sh(
                "systemd-analyze security --offline=true --no-pager --threshold=28 \(services)")
            try verify(security.exitCode == 0, "\(security)")
        }
    }

    @Test("What steer.service does works with the capabilities that it leaves")
    func capabilities() async throws {
        try await withBed(loaded: false) { bed in
            let unit = try String(
                contentsOf: Guide.root.appending(path: "docs/systemd/steer.service"), encoding: .utf8)
            let line = unit.split(separator: "\n").first { $0.hasPrefix("CapabilityBoundingSet=") }!
            let names = line.split(separator: "=")[1].split(separator: " ").map { "+" + $0.dropFirst(4).lowercased() }
            let under = "setpriv --no-new-privs --bounding-set -all,\(names.joined(separator: ","))"
            let file = try bed.write(bed.policy("web"), to: "policy.yaml")
            try bed.steer("apply --load --readers 65534 \(file)", under: under)
            try verify(
                bed.json("bindings", under: "setpriv --reuid 65534 --regid 65534 --clear-groups")["bindings"].array
                    .count,
                is: 1)
            try bed.steer("apply \(file)", under: under)
            try bed.steer("unload", under: under)
            try verify(bed.bpffs.listing(), is: ["steering/"])
            try bed.refused("apply \(file) --readers 65534", "--load", exitCode: 64)
        }
    }
}
