"""The CA client that uses certbot.

One order goes through the modules in this order:

1. `issuer` checks disk space (`disk_space`), makes the order's folder and hands a job to the `job_runner`, which adds the CA's
   directory (`shared_directory`) and hands it to the `worker_pool`.
2. `worker_pool` runs one `fork_server`, a process that has certbot imported, and asks it to fork a process for a job
   if none is free.
3. `job` is such a process. It runs certbot with the ACME client of `acme_client` and the plugin of `authenticator`, which
   writes the `challenge_files`; in standalone mode `listener` serves them. `pacing` holds back its requests to the CA.
4. `problems` turns a failed job into an `IssueError`.

`ari` reads renewal windows, and `directory` checks whether the CA is up.
"""
