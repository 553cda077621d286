import Foundation
import KernelTestSupport
import Testing

/// docs/steer-dns.md and docs/coming-from.md do what they say; the unit is sound.
@Suite struct GuideTests {
    @Test(
        "The commands of a page run in their order, and print what stands there",
        arguments: ["docs/steer-dns.md", "docs/coming-from.md"])
    func commands(page: String) throws {
        let blocks = try Guide.blocks(of: page).filter { !$0.language.isEmpty }
        #expect(blocks.filter { $0.language == "sh" }.count >= 7)
        #expect(Set(blocks.map(\.language)).isSubset(of: ["sh", "output", "ini", "yaml"]))
        let folder = try DNSBed.folder("", [:])
        defer { _ = try? shell("rm -r \(folder)") }
        let programs = URL(filePath: try Programs.path(of: "steer-dns")).deletingLastPathComponent().path
        var script = """
            cd \(folder); ln -s \(Guide.root.path)/scripts; set -e; PATH=\(programs):$PATH
            trap '[ -z "$server" ] || kill $server 2>/dev/null || true' EXIT

            """
        for (index, block) in blocks.filter({ $0.language == "sh" }).enumerated() {
            script += "exec >\(folder)/block-\(index) 2>\(folder)/errors-\(index)\n\(block.text)\n"
        }
        try script.write(toFile: "\(folder)/guide.sh", atomically: true, encoding: .utf8)
        let end = try shell("timeout $((10 * PATIENCE)) bash \(folder)/guide.sh; echo $?")
        let errors = try shell("cat \(folder)/errors-*")
        try verify(end == "0\n", "\(end)\(errors)")
        var index = -1
        for block in blocks {
            if block.language == "sh" { index += 1 }
            guard block.language == "output" else { continue }
            let printed = try shell("cat \(folder)/block-\(index)").split(separator: "\n")
            for line in block.text.split(separator: "\n") {
                try verify(printed.contains(line), "'\(line)' in block \(index): \(printed)")
            }
        }
    }

    @Test("systemd finds the unit sound, and its exposure OK")
    func unit() throws {
        let folder = try DNSBed.folder("", [:])
        defer { _ = try? shell("rm -r \(folder)") }
        let program = try Programs.path(of: "steer-dns")
        // The command is where it will be installed; here it is somewhere else.
        try shell(
            "sed 's#/usr/bin/steer-dns#\(program)#; /^Documentation/d' \(Guide.root.path)/docs/systemd/steer-dns.service >\(folder)/steer-dns.service"
        )
        #expect(try shell("systemd-analyze verify --recursive-errors=no \(folder)/steer-dns.service 2>&1") == "")
        // Tenths: 2.5 and no more.
        try shell(
            "systemd-analyze security --offline=true --no-pager --threshold=25 \(folder)/steer-dns.service >\(folder)/said"
        )
    }
}
