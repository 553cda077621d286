import Glibc
import Steering

/// Opens sockets, runs a shell command that knows this process as $HOLDER, and ends as that does.
///
/// A socket is written KIND=ADDRESS: tcp or udp, with + for SO_REUSEPORT; mptcp; bound, a TCP socket that
/// does not listen; udp-to, connected to the address; tcp-to, connected to a listener there. `again` opens
/// another descriptor of each socket so far; `share` lets the command inherit them all;
/// `zombie` makes a process that has ended and is not waited for, $ZOMBIE.
func hold(_ sockets: ArraySlice<String>, while command: String) throws(SteeringError) {
    var held: [CInt] = []
    var isShared = false
    for text in sockets {
        let parts = text.split(separator: "=")
        if parts[0] == "again" {
            held += held.map { dup($0) }
            continue
        }
        if parts[0] == "zombie" {
            setenv("ZOMBIE", "\(endedChild())", 1)
            continue
        }
        if parts[0] == "share" {
            isShared = true
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
    if isShared { for descriptor in held { _ = fcntl(descriptor, F_SETFD, 0) } }
    setenv("HOLDER", "\(getpid())", 1)
    let status = system(command)
    exit(status >> 8 & 0xff)
}

private func endedChild() -> pid_t {
    var pid: pid_t = 0
    var information = siginfo_t()
    guard posix_spawn(&pid, "/bin/true", nil, nil, [strdup("true"), nil], nil) == 0,
        waitid(P_PID, id_t(pid), &information, WEXITED | WNOWAIT) == 0
    else { fail("spawn", "cannot run /bin/true") }
    return pid
}

/// Takes sockets of another process: prints each with the members of its group that others hold.
func take(_ arguments: [String], onlyOne: Bool) throws(SteeringError) {
    guard let pid = arguments.first.flatMap({ pid_t($0) }) else { fail("usage", "take PID [tcp|udp [ADDRESS]]") }
    var transport: TransportProtocol?
    if arguments.count > 1 { transport = arguments[1] == "tcp" ? .tcp : .udp }
    let address = arguments.count > 2 ? try! SocketAddress(arguments[2]) : nil
    let selector = SocketSelector(transport, address)
    let sockets = try (onlyOne ? ProcessSocket.onlySocket : ProcessSocket.sockets)(pid, selector)
    for socket in sockets { print(socket.transport, socket.boundAddress, "elsewhere", socket.membersElsewhere) }
}

/// Prints every holder of every socket of this network namespace, and whether all could be seen.
func owners() throws(SteeringError) {
    let sockets = try SocketDiagnostics().sockets().values
    let owners = try SocketOwners(of: sockets.map(\.inode))
    for socket in sockets {
        for owner in owners[socket.inode] { print(socket.localAddress, owner, "user", owner.userID) }
    }
    print("complete", owners.isComplete)
}

/// Prints what a service manager passed; twice asked for, open and close-on-exec, or it fails.
func activated() throws(SteeringError) {
    let sockets = try ActivatedSockets.all()
    guard try ActivatedSockets.all() == sockets, sockets.allSatisfy({ fcntl($0.descriptor, F_GETFD) == FD_CLOEXEC })
    else { fail("descriptors", "they are not as they should be") }
    for socket in sockets { print(socket.descriptor, socket.name ?? "-") }
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
