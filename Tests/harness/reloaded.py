"""The servers of reloads.py: how each is configured, started, queried and reloaded. They listen on port 8080 of loopback,
in both families."""
import glob
import os
import signal
import subprocess
import textwrap
import time


class Server:
    # A word, and what is reloaded how.
    name, title = "", ""
    package = ""  # Debian's
    user = "nobody"
    environment = {}
    end = signal.SIGTERM
    # What `steer register` and `steerd-run` are told beside the label.
    socket = ["tcp", ":8080"]
    label_word = "web=:8080"
    # Whether its first process ends when it is reloaded, and another goes on.
    is_replaced = False
    # How many connections it may lose in a reload through no fault of the steering.
    loses = 0

    def prepare(self, folder, account):
        pass

    def write(self, folder, name, text):
        path = f"{folder}/{name}"
        with open(path, "w") as file:
            file.write(textwrap.dedent(text).lstrip())
        return path

    def port(self, folder):
        return 8080

    def reload(self, folder, pid):
        os.kill(pid, signal.SIGHUP)

    def ask(self, client):
        client.sendall(b"GET / HTTP/1.0\r\nHost: steered\r\n\r\n")
        answer = b""
        while part := client.recv(4096):
            answer += part
        return f"it is {self.name.split('-')[0]}".encode() in answer


class Caddy(Server):
    package = "caddy"
    name, title = "caddy", "caddy reload"
    # Go 1.24 and newer listens by Multipath TCP unless told otherwise.
    environment = {"GODEBUG": "multipathtcp=0"}

    def prepare(self, folder, account):
        self.configure(folder, 1)

    def configure(self, folder, version):
        return self.write(folder, "Caddyfile", f"""
            {{
                admin localhost:2019
                auto_https off
                grace_period 3s
            }}
            :8080 {{
                respond "it is caddy, {version}"
            }}
            """)

    def command(self, folder):
        return ["caddy", "run", "--adapter", "caddyfile", "--config", f"{folder}/Caddyfile"]

    def reload(self, folder, pid):
        self.configure(folder, time.time())
        subprocess.run(["caddy", "reload", "--adapter", "caddyfile", "--config", f"{folder}/Caddyfile"], check=True,
                       stderr=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], "HOME": folder, **self.environment})


class Nginx(Server):
    package = "nginx-light"
    name, title = "nginx", "nginx, HUP"
    end = signal.SIGQUIT
    option, workers = "", (2, 2)

    def configure(self, folder, workers):
        paths = " ".join(f"{name}_temp_path {folder}/{name};" for name in
                         ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return self.write(folder, "nginx.conf", f"""
            daemon off; worker_processes {workers}; pid {folder}/nginx.pid; error_log stderr;
            events {{ worker_connections 512; }}
            http {{
                access_log off; keepalive_timeout 0; {paths}
                server {{
                    listen 127.0.0.1:8080{self.option};
                    listen [::1]:8080{self.option};
                    location / {{ return 200 "it is nginx"; }}
                }}
            }}
            """)

    def prepare(self, folder, account):
        self.configure(folder, self.workers[0])

    def command(self, folder):
        return ["/usr/sbin/nginx", "-e", "stderr", "-c", f"{folder}/nginx.conf"]

    def reload(self, folder, pid):
        self.configure(folder, self.workers[1])
        os.kill(pid, signal.SIGHUP)


class NginxFewer(Nginx):
    name, title = "nginx-fewer", "nginx `reuseport`, 4 to 2 workers, HUP"
    option, workers = " reuseport", (4, 2)


class NginxMore(Nginx):
    name, title = "nginx-more", "nginx `reuseport`, 2 to 4 workers, HUP"
    option, workers = " reuseport", (2, 4)


class HAProxy(Server):
    package = "haproxy"
    name, title = "haproxy", "haproxy -W, USR2"
    end = signal.SIGUSR1
    bind = ":::8080"

    def prepare(self, folder, account):
        self.configure(folder, self.bind)

    def configure(self, folder, bind):
        return self.write(folder, "haproxy.cfg", f"""
            global
                hard-stop-after 5s
            defaults
                mode http
                timeout client 5s
                timeout server 5s
                timeout connect 5s
            frontend web
                bind {bind}
                http-request return status 200 content-type text/plain string "it is haproxy"
            """)

    def command(self, folder):
        return ["/usr/sbin/haproxy", "-W", "-f", f"{folder}/haproxy.cfg"]

    def reload(self, folder, pid):
        os.kill(pid, signal.SIGUSR2)


class HAProxyMoved(HAProxy):
    """HAProxy whose new worker binds to another address, so that it cannot take over the previous worker's socket."""
    name, title = "haproxy-moved", "haproxy -W, another port, USR2"
    socket, label_word = ["tcp"], "web=tcp"

    def reload(self, folder, pid):
        self.configure(folder, ":::8081")
        os.kill(pid, signal.SIGUSR2)

    def port(self, folder):
        return 8080 if "8080" in open(f"{folder}/haproxy.cfg").read() else 8081


class SSHD(Server):
    package = "openssh-server"
    name, title = "sshd", "sshd, HUP"
    user = "root"

    def prepare(self, folder, account):
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{folder}/key"], check=True)
        self.write(folder, "sshd_config", f"""
            Port 8080
            ListenAddress 127.0.0.1
            ListenAddress ::1
            HostKey {folder}/key
            PidFile {folder}/sshd.pid
            UsePAM no
            MaxStartups 1000
            """)

    def command(self, folder):
        return ["/usr/sbin/sshd", "-D", "-e", "-f", f"{folder}/sshd_config"]

    def ask(self, client):
        return client.recv(64).startswith(b"SSH-2.0-")


class Redis(Server):
    package = "redis-server"
    name, title = "redis", "redis, `CONFIG SET port`"
    socket, label_word = ["tcp"], "web=tcp"

    def command(self, folder):
        self.where = 8080
        return ["redis-server", "--port", "8080", "--bind", "127.0.0.1", "::1", "--protected-mode", "no", "--save", "",
                "--appendonly", "no", "--dir", folder]

    def port(self, folder):
        return self.where

    def reload(self, folder, pid):
        self.where = 8081
        subprocess.run(["redis-cli", "-p", "8080", "CONFIG", "SET", "port", "8081"], check=True,
                       stdout=subprocess.DEVNULL)

    def ask(self, client):
        client.sendall(b"PING\r\n")
        return client.recv(64) == b"+PONG\r\n"


class Node(Server):
    """Node: workers share the sockets of the primary, which closes them when no worker is left."""
    package = "nodejs"
    name, title = "node-cluster", "node cluster, all workers replaced"

    def prepare(self, folder, account):
        self.write(folder, "server.js", """
            const cluster = require('cluster'), http = require('http');
            if (cluster.isPrimary) {
                for (let n = 0; n < 2; n++) cluster.fork();
                process.on('SIGHUP', () => cluster.disconnect(() => { for (let n = 0; n < 2; n++) cluster.fork(); }));
            } else {
                http.createServer((request, response) => {
                    response.setHeader('Connection', 'close'); response.end('it is node');
                }).listen(8080, '::');
            }
            """)

    def command(self, folder):
        return ["node", f"{folder}/server.js"]


APPLICATION = """
    async def application(scope, receive, send):
        if scope['type'] != 'http': raise NotImplementedError
        await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'connection', b'close')]})
        await send({'type': 'http.response.body', 'body': b'it is uvicorn'})
    """


class Gunicorn(Server):
    package = "gunicorn"
    name, title = "gunicorn", "gunicorn, HUP"

    def prepare(self, folder, account):
        self.write(folder, "app.py", """
            def application(environment, respond):
                respond('200 OK', [])
                return [b'it is gunicorn']
            """)

    def command(self, folder):
        return ["gunicorn", "--workers", "2", "--bind", "127.0.0.1:8080", "--bind", "[::1]:8080", "--chdir", folder,
                "--worker-tmp-dir", folder, "app:application"]


class GunicornReplaced(Gunicorn):
    """Gunicorn with a new master, which the previous one starts, and to which it leaves the sockets on exit."""
    name, title = "gunicorn-replaced", "gunicorn, its program replaced, USR2 and TERM"
    is_replaced = True

    def reload(self, folder, pid):
        os.kill(pid, signal.SIGUSR2)
        children = f"/proc/{pid}/task/{pid}/children"
        # Two workers and the new master; then that one's workers.
        for _ in range(300):
            masters = [child for child in open(children).read().split()
                       if os.path.exists(f"/proc/{child}/task/{child}/children")
                       and len(open(f"/proc/{child}/task/{child}/children").read().split()) == 2]
            if masters:
                break
            time.sleep(0.02)
        time.sleep(0.5)
        os.kill(pid, signal.SIGTERM)


class Uvicorn(Server):
    """Uvicorn: the reloader holds the socket, and starts a new process when a file changes."""
    package = "uvicorn"
    name, title = "uvicorn", "uvicorn --reload, a changed file"

    def prepare(self, folder, account):
        os.chown(self.write(folder, "app.py", APPLICATION), account.pw_uid, account.pw_gid)

    def command(self, folder):
        return ["uvicorn", "--host", "::", "--port", "8080", "--reload", "--reload-dir", folder, "--app-dir", folder,
                "app:application"]

    def reload(self, folder, pid):
        os.utime(f"{folder}/app.py")


class PostgreSQL(Server):
    package = "postgresql"
    name, title = "postgresql", "PostgreSQL, HUP"
    user = "postgres"
    end = signal.SIGINT  # fast

    def prepare(self, folder, account):
        self.programs = max(glob.glob("/usr/lib/postgresql/*/bin"))
        subprocess.run([f"{self.programs}/initdb", "-D", f"{folder}/data", "-A", "trust", "--no-sync"], check=True,
                       stdout=subprocess.DEVNULL, user=account.pw_uid, group=account.pw_gid, extra_groups=[],
                       cwd=folder)

    def command(self, folder):
        return [f"{self.programs}/postgres", "-D", f"{folder}/data", "-p", "8080", "-c",
                "listen_addresses=127.0.0.1,::1", "-k", folder]

    def ask(self, client):
        client.sendall(bytes([0, 0, 0, 8, 4, 210, 22, 47]))  # SSLRequest
        return client.recv(1) in (b"N", b"S")


SERVERS = [Caddy(), Nginx(), NginxFewer(), NginxMore(), HAProxy(), HAProxyMoved(), SSHD(), Redis(),
           Node(), Gunicorn(), GunicornReplaced(), Uvicorn(), PostgreSQL()]
