"""Pure builders of what the operator creates: values in, Kubernetes objects as JSON values out."""
