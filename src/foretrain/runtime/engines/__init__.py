"""Where independent jobs run: processes of this machine, Ray, Dask, or a cluster's own scheduler through submitit."""
