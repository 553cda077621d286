import Glibc
import KernelTestSupport
import Testing

@testable import Steering

/// State that older versions pinned is named, and upgraded.
@Suite(.kernel)
struct LayoutTests {
    /// Bindings as a build of layout 1 pinned them: the bytes of its map.
    private static let layout1 = bytes(
        """
        0100000052455453e801000000000000f36d7929f0fa43760000300000000000af1b0000000000000200000000000000
        020000000000000006000000000000000700000000000000000000000000000003646e73000000000000000000000000
        000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
        010000000100000003776562000000000000000000000000000000000000000000000000000000000000000000000000
        000000000000000000000000000000000000000000000000190019000100000035003500010000005000500000000000
        bb01bb0100000000401f2723010000000000ffff0100000000000000000200c000000000000000000000000000006000
        feffffff0000000000000000000200c0000000000000000002000000a40f6000010000000000000000000000350200c0
        00000000000000000100000002008000000000000000000000000000006433c6000000000000000003000000fdff6700
        ffffffff000000000000000000000000000000000000000003000000fdff0380ffffffff0000000000000700b80d0120
        000000000000000002000000a40fc080010000000000000000000700b80d012053000000000000000100000002000082
        0000000000000000
        """)

    /// The same of layout 2.
    private static let layout2 = bytes(
        """
        0200000052455453b001000000000000e80e8e12dba45618000030000000000035000000000000000200000000000000
        0200000000000000060000000000000004000000000000000300000000000000000000000000000003646e7300000000
        000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
        000000000000000001000000010000000377656200000000000000000000000000000000000000000000000000000000
        000000000000000000000000000000000000000000000000000000000000000019001900010000003500350001000000
        5000500000000000bb01bb0100000000401f2723010000000000ffff01000000000200c0feffffff0000000000006000
        000200c00100000002000000a40f6000350200c0000000000100000002008000006433c6ffffffff03000000fdff6700
        0000000000000000000000000000000003000000fdff0380ffffffff0000000000000700b80d01200000000000000000
        02000000a40fc080010000000000000000000700b80d0120530000000000000001000000020000820000000000000000
        """)

    /// By layout.
    private static let layouts = [1: layout1, 2: layout2]

    /// What those builds listed.
    private static let listed = [
        "tcp 192.0.2.0/24 25 -> refuse",
        "tcp 192.0.2.0/24 80,443,8000-8999 -> label web",
        "tcp+udp 192.0.2.53/32 53 -> label dns",
        "udp 198.51.100.0/25 all -> pass",
        "udp ::/0 all -> pass",
        "tcp 2001:db8:7::/48 80,443,8000-8999 -> label web",
        "tcp+udp 2001:db8:7::53/128 53 -> label dns",
    ]

    private static func bytes(_ hexadecimal: String) -> [UInt8] {
        let digits = hexadecimal.filter { !$0.isWhitespace }.map { UInt8($0.hexDigitValue!) }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    @Test("An older layout is read as it was written", arguments: [1, 2])
    func decodes(layout: Int) throws {
        let stored = try StoredPolicy(decoding: Self.layouts[layout]!)
        #expect(stored.policy.bindings.map(\.description) == Self.listed)
        #expect(stored.policy["web"].withoutSocket == .pass)
        #expect(stored.numbers["web"] != nil && stored.numbers["dns"] != nil)
        // Written anew it is of this layout.
        #expect(try StoredPolicy(decoding: stored.encoded()) == stored)
        #expect(stored.encoded().count < Self.layout1.count)
        #expect(stored.encoded()[0] == StoredPolicy.version)
    }

    @Test("Random damage to an older layout gives an error or a policy in its one form", arguments: [1, 2])
    func mutations(layout: Int) throws {
        var random = SeededGenerator(seed: 9)
        let words = Bytes.words(of: Self.layouts[layout]!)
        var valid = 0
        for _ in 0..<20_000 {
            var changed = words
            let at = Int.random(in: 3..<words.count, using: &random)
            switch Int.random(in: 0..<3, using: &random) {
            case 0: changed[at] = words.randomElement(using: &random)!
            case 1: changed[at] &+= 1
            default: changed[at] ^= 1 << UInt64.random(in: 0..<64, using: &random)
            }
            changed[2] = StoredPolicy.checksum(of: changed)
            do throws(SteeringError) {
                let read = try StoredPolicy(decoding: Bytes.bytes(of: changed)).policy
                #expect(Policy(read.bindings.shuffled(using: &random), options: read.options) == read)
                valid += 1
            } catch {
                #expect(error.code == .damagedState, "\(error)")
            }
        }
        #expect(valid > 1000, "only \(valid) were valid: the sample shows little")
    }

    @Test(
        "A steering of an older layout is not opened but upgraded, with its sockets, under its label's numbers; or by a service at its start",
        arguments: 1..<Pins.layout, [false, true])
    func upgrades(layout: Int, byService: Bool) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let namespace = try NetworkNamespace.current()
            let bpffs = try TestFileSystem()
            var server = try Flow(.tcp, .ipv4).server()
            let directory = "\(bpffs.path)/steering/\(namespace.inode)"
            do {
                let steering = try SocketSteering.load(into: namespace, bpffs: bpffs.path)
                // Labels get the numbers that they had there.
                let dns = try Flow(.udp, .ipv4).socket()
                try steering.sockets.register(dns.socket, as: "dns")
                try steering.sockets.register(server.descriptor, as: "web")
            }
            // Back to what the older build would have left.
            let pinned = try PinnedState(directory, toWrite: true)
            let generation = try PolicyMemory(pinned.plane).generation
            var words = Bytes.words(of: Self.layouts[layout]!)
            words[3] = generation
            words[2] = StoredPolicy.checksum(of: words)
            try shell("cd \(directory) && rm bindings-* && mv layout-\(Pins.layout) layout-\(layout)")
            try PinnedState.save(
                Bytes.bytes(of: words), generation: generation, in: directory, for: .init(group: nil))

            let error = try verifyThrows(.olderLayout) { _ = try SocketSteering.open(namespace, bpffs: bpffs.path) }
            try verify(error.message.hasSuffix("upgrade it"), error.message)
            let steering: SocketSteering
            if byService {
                steering = try SocketSteering.loadOrOpen(namespace, bpffs: bpffs.path)
            } else {
                try SocketSteering.upgrade(in: namespace, bpffs: bpffs.path)
                steering = try SocketSteering.open(namespace, bpffs: bpffs.path)
            }
            try verify(steering.policy.bindings.map(\.description), is: Self.listed)
            try verify(steering.policy["web"].withoutSocket, is: .pass)
            try server.verifyAnswers(SocketAddress("192.0.2.9:8500"))
            try server.verifyRefused(SocketAddress("192.0.2.9:25"))
        }
    }
}
