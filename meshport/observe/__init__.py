"""What operators watch: the lag of consumer groups, what is wrong around a shell, and the files of Prometheus and Grafana."""
