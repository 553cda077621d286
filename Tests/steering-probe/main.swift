// What tests must see from outside, in a process of its own: with other capabilities, under fault
// injection, or counted over thousands of cycles. Prints one line of JSON; exits 1 on an error.
//
//   steering-probe attach            attach, bind, register, steer a packet
//   steering-probe drop              attach, drop every capability, change everything
//   steering-probe outgrow           attach, apply what outgrows the smallest tables: it must fail and change nothing
//   steering-probe drop-and-outgrow  the same without any capability
//   steering-probe cycles COUNT      attach and detach COUNT times, count what is left
//   steering-probe hold SOCKET... COMMAND    open sockets, run a command that knows this process as $HOLDER
//   steering-probe take PID [tcp|udp [ADDRESS]]    take sockets of another process
//   steering-probe take-one PID ...                the one that must be meant
//   steering-probe file-system PATH                bpffs or not, read-only or not
//   steering-probe owners                          who holds the sockets of this network namespace
//   steering-probe activated                       the descriptors that it was started with
//   steering-probe serve [SOCKET...]               echo on the sockets that it was started with, or on these
import CLibBPF
import Glibc
import Steering

let pool = try! PrefixPool("192.0.2.0/24", "2001:db8:7::/48")
let loopback = SocketAddress(IPAddress(ipv4: 0x7f00_0001), port: 0)
let inside = try! SocketAddress("192.0.2.7:7")

/// Everything that a server does, once.
func exercise(_ steering: SocketSteering) throws(SteeringError) {
    let listener = try OwnedDescriptor.listener(on: loopback)
    let receiver = try OwnedDescriptor.receiver(on: loopback)
    try steering.sockets.register(listener, as: "echo")
    try steering.sockets.register(receiver, as: "echo")
    try steering.bind("echo", .both, to: pool, ports: [7, 7000...7999])

    let run = try steering.testRun(.tcp, to: inside)
    guard run.verdict == 1, try steering.sockets.list().contains(where: { $0.cookie == run.cookie }) else {
        fail("notSteered", "the program chose \(run)")
    }
    var policy = try Policy([Binding(.tcp, to: pool.prefixes[0], ports: [7], .refuse)])
    policy["echo"] = LabelOptions(withoutSocket: .pass)
    try steering.apply(policy)
    guard try steering.testRun(.tcp, to: inside).verdict == 0 else { fail("notRefused", "the policy did not change") }
    guard try steering.metrics().refused > 0 else { fail("notCounted", "a refusal was not counted") }
    try steering.sockets.unregister("echo")
}

func dropCapabilities() {
    guard setregid(65534, 65534) == 0, setreuid(65534, 65534) == 0 else {
        fail("setreuid", "cannot become another user")
    }
    let status = text(of: "/proc/self/status")
    for set in ["CapPrm", "CapEff"] where !status.contains("\(set):\t0000000000000000") {
        fail("capabilities", "\(set) is not empty")
    }
}

/// What outgrows the smallest tables: rows times port classes.
func outgrowing() throws(SteeringError) -> Policy {
    var bindings: [Binding] = []
    for number in UInt32(0)..<600 {
        let host = IPPrefix(masking: IPAddress(ipv4: 0x0a00_0000 | number), length: 32)
        bindings.append(
            try Binding(.tcp, to: host, ports: PortSet([PortRange(UInt16(2000 + 2 * number))]), .label("far")))
    }
    return Policy(bindings)
}

/// Applies a policy that the tables have no room for, which must not work; then everything else must.
func outgrow(droppingCapabilities: Bool) throws(SteeringError) {
    let steering = try SocketSteering.attach()
    let listener = try OwnedDescriptor.listener(on: loopback)
    try steering.sockets.register(listener, as: "echo")
    try steering.bind("echo", .both, to: pool, ports: [7])
    let before = (try steering.policy, try steering.tables())
    if droppingCapabilities { dropCapabilities() }
    var refusal: SteeringError?
    do throws(SteeringError) { try steering.apply(try outgrowing()) } catch { refusal = error }
    guard let refusal else { fail("applied", "the tables had room") }
    let after = (try steering.policy, try steering.tables())
    guard before == after, try steering.testRun(.tcp, to: inside).cookie == steering.sockets.list()[0].cookie else {
        fail("changed", "the former policy is no longer in force")
    }
    try steering.sockets.unregister("echo")
    try exercise(steering)
    throw refusal
}

/// Descriptors of this process, its memory in KiB, and the kernel's BPF objects, everyone's.
func inventory() -> [(String, Int)] {
    func count(_ next: (UInt32, UnsafeMutablePointer<UInt32>) -> CInt) -> Int {
        var id: UInt32 = 0
        var found = 0
        while next(id, &id) == 0 { found += 1 }
        return found
    }
    var descriptors = 0
    if let directory = opendir("/proc/self/fd") {
        while readdir(directory) != nil { descriptors += 1 }
        closedir(directory)
    }
    let resident = text(of: "/proc/self/status").split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
    return [
        ("descriptors", descriptors),
        ("residentKiB", resident.flatMap { Int($0.filter(\.isNumber)) } ?? 0),
        ("programs", count(bpf_prog_get_next_id)), ("maps", count(bpf_map_get_next_id)),
        ("links", count(bpf_link_get_next_id)),
    ]
}

func cycles(_ count: Int) throws(SteeringError) {
    try exercise(try SocketSteering.attach())  // What is made once is made now.
    let before = inventory()
    for cycle in 1...count {
        let steering = try SocketSteering.attach()
        try exercise(steering)
        if cycle.isMultiple(of: 2) { steering.detach() }
    }
    var after = inventory()
    for _ in 0..<100 where zip(before, after).contains(where: { $0.0 != "residentKiB" && $0.1 < $1.1 }) {
        usleep(100_000)  // The kernel frees programs and maps a moment after the last descriptor.
        after = inventory()
    }
    func object(_ counts: [(String, Int)]) -> String {
        "{" + counts.map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}"
    }
    print("{\"cycles\":\(count),\"before\":\(object(before)),\"after\":\(object(after))}")
}

func text(of path: String) -> String {
    guard let file = fopen(path, "r") else { return "" }
    defer { fclose(file) }
    var buffer = [UInt8](repeating: 0, count: 16_384)
    return String(decoding: buffer[..<fread(&buffer, 1, buffer.count, file)], as: UTF8.self)
}

func fail(_ code: String, _ message: String) -> Never {
    print("{\"error\":\"\(code)\",\"message\":\"\(message.filter { $0 != "\"" && $0 != "\n" && $0 != "\\" })\"}")
    exit(1)
}

do throws(SteeringError) {
    switch CommandLine.arguments.dropFirst().first {
    case "attach":
        try exercise(try SocketSteering.attach())
        print("{\"ok\":true}")
    case "drop":
        let steering = try SocketSteering.attach()
        dropCapabilities()
        try exercise(steering)
        print("{\"ok\":true}")
    case "outgrow": try outgrow(droppingCapabilities: false)
    case "drop-and-outgrow": try outgrow(droppingCapabilities: true)
    case "cycles": try cycles(Int(CommandLine.arguments.last!) ?? 100)
    case "hold": try hold(CommandLine.arguments.dropFirst(2).dropLast(), while: CommandLine.arguments.last!)
    case "take": try take(Array(CommandLine.arguments.dropFirst(2)), onlyOne: false)
    case "take-one": try take(Array(CommandLine.arguments.dropFirst(2)), onlyOne: true)
    case "file-system":
        guard let system = FileSystem(containing: CommandLine.arguments.last!) else { fail("path", "no such path") }
        print("bpf", system.isBPF, "read-only", system.isReadOnly)
    case "owners": try owners()
    case "activated": try activated()
    case "serve": try serve(CommandLine.arguments.dropFirst(2))
    default:
        fail(
            "usage",
            "steering-probe attach | drop | outgrow | drop-and-outgrow | cycles COUNT | activated | hold ... | take ..."
        )
    }
} catch {
    fail("\(error.code)", error.message)
}
