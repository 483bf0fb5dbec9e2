"""What a site does outside of requests: jobs, the worker that runs them, and tasks for Celery."""
