import KernelTestSupport
import Steering
import Testing

/// Several prefixes, what is not there, and labels without a socket.
@Suite(.kernel)
struct BindCommandTests {
    @Test("A label says what its packets meet without a socket", arguments: Flow.all)
    func withoutSocket(_ flow: Flow) async throws {
        try await withBed { bed in
            var other = try TestServer(flow.transport, on: flow.host(1, port: 443), .freeBind)
            try bed.steer("bind web tcp+udp \(flow.prefix) all")
            try other.verifyRefused(flow.host(1, port: 443))
            try bed.steer("label web --without-socket pass")
            try other.verifyAnswers(flow.host(1, port: 443))
            try bed.steer("label web --without-socket refuse")
            try other.verifyRefused(flow.host(1, port: 443))
            try bed.refused("label a/b --without-socket pass", "A-Z", exitCode: 64)
        }
    }

    @Test("A label that no binding leads to can have an outcome, and a note says so")
    func unboundLabel() async throws {
        try await withBed { bed in
            let rest = "--bpffs \(bed.bpffs.path)"
            let note = "no binding leads to nosuch: steer bind nosuch PROTOCOL PREFIX PORTS \(rest)"
            try verify(bed.steer("label nosuch --without-socket pass"), is: "note: \(note)\n")
            try verify(bed.json("label nosuch --without-socket refuse")["notes"].array.map(\.string), is: [note])
            try bed.steer("bind nosuch tcp 192.0.2.0/24 80")
            try verify(bed.steer("label nosuch --without-socket pass"), is: "")
        }
    }

    @Test("Several prefixes are bound, and unbound, in one step or not at all")
    func severalPrefixes() async throws {
        try await withBed { bed in
            try bed.steer("bind dns tcp+udp 192.0.2.53/32 2001:db8::53/128 53")
            try bed.steer("bind dns tcp+udp 192.0.2.53/32 53")
            let prefixes = try bed.json("bindings")["bindings"].array.map { $0["prefix"].string }
            try verify(prefixes, is: ["192.0.2.53/32", "2001:db8::53/128"])
            try bed.refused(
                "unbind dns tcp+udp 192.0.2.53/32 2001:db8::54/128 53", "no binding overlaps 2001:db8::54/128")
            try bed.refused(
                "unbind dns tcp 192.0.2.53/32 53", "the nearest is 'tcp+udp 192.0.2.53/32 53 -> label dns'")
            try bed.refused("unbind web udp 192.0.2.0/24 53", "'tcp+udp 192.0.2.53/32 53 -> label dns'")
            try bed.refused("bind web tcp+udp 192.0.2.0/24 192.0.2.53/32 53", "equal precedence")
            try bed.refused("bind web tcp 192.0.2.0/24 192.0.2.1/24 80", "192.0.2.1/32", exitCode: 64)
            try bed.steer("unbind dns tcp+udp 192.0.2.53/32 2001:db8::53/128 53")
            try verify(bed.inForce(), is: [])
        }
    }
}
