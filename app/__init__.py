"""PrivateMaaS: Models as a Service for OpenShift and Kubernetes."""
