import Glibc
import Steering

/// Opens sockets, runs a shell command that knows this process as $HOLDER, and ends as that does.
///
/// A socket is written KIND=ADDRESS: tcp or udp, with + for SO_REUSEPORT; mptcp; bound, a TCP socket that
/// does not listen; udp-to, connected to the address; tcp-to, connected to a listener there. `again` opens
/// another descriptor of each socket so far.
func hold(_ sockets: ArraySlice<String>, while command: String) throws(SteeringError) {
    var held: [CInt] = []
    for text in sockets {
        let parts = text.split(separator: "=")
        if parts[0] == "again" {
            held += held.map { dup($0) }
            continue
        }
        guard let address = try? SocketAddress(parts[1]) else { fail("usage", "bad address in \(text)") }
        switch parts[0] {
        case "tcp": held.append(try OwnedDescriptor.listener(on: address).release())
        case "tcp+": held.append(try OwnedDescriptor.listener(on: address, .reusePort).release())
        case "udp": held.append(try OwnedDescriptor.receiver(on: address).release())
        case "udp+": held.append(try OwnedDescriptor.receiver(on: address, .reusePort).release())
        case "dual": held.append(try OwnedDescriptor.listener(on: address, .dualStack).release())
        case "mptcp": held.append(try open(SOCK_STREAM, 262, address, listen: true))
        case "bound": held.append(try open(SOCK_STREAM, 0, address))
        case "udp-to": held.append(try open(SOCK_DGRAM, 0, address, connected: true))
        case "tcp-to": held.append(try open(SOCK_STREAM, 0, address, connected: true))
        default: fail("usage", "no such socket: \(text)")
        }
    }
    setenv("HOLDER", "\(getpid())", 1)
    let status = system(command)
    exit(status >> 8 & 0xff)
}

/// Takes sockets of another process: prints each with the members of its group that others hold.
func take(_ arguments: [String], onlyOne: Bool) throws(SteeringError) {
    guard let pid = arguments.first.flatMap({ pid_t($0) }) else { fail("usage", "take PID [tcp|udp [ADDRESS]]") }
    var transport: TransportProtocol?
    if arguments.count > 1 { transport = arguments[1] == "tcp" ? .tcp : .udp }
    let address = arguments.count > 2 ? try! SocketAddress(arguments[2]) : nil
    let selector = SocketSelector(transport, address)
    let sockets = try (onlyOne ? ProcessSocket.theOne : ProcessSocket.sockets)(pid, selector)
    for socket in sockets { print(socket.transport, socket.boundAddress, "elsewhere", socket.membersElsewhere) }
}

private func open(
    _ kind: __socket_type, _ number: CInt, _ address: SocketAddress, listen isListener: Bool = false,
    connected: Bool = false
) throws(SteeringError) -> CInt {
    let family = address.address.family == .ipv4 ? AF_INET : AF_INET6
    let made = socket(family, CInt(kind.rawValue) | CInt(SOCK_CLOEXEC.rawValue), number)
    if connected {
        try address.pass(to: "connect") { connect(made, $0, $1) }
    } else {
        try address.pass(to: "bind") { bind(made, $0, $1) }
    }
    if isListener, listen(made, 16) != 0 { fail("listen", "cannot listen") }
    return made
}
