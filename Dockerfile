# One image for the web server, the workers and the migrations; docker-compose.yml says which runs what.
# The tag names one Python and one Debian. To pin its bytes too: --build-arg PYTHON=python:3.13.15-slim-trixie@sha256:…
ARG PYTHON=python:3.13.15-slim-trixie

FROM ${PYTHON} AS packages
COPY requirements/app.lock requirements/app.lock
RUN python -m venv --without-pip /packages \
    && pip --python /packages/bin/python install --no-cache-dir --no-deps --require-hashes --requirement requirements/app.lock

FROM ${PYTHON}
ENV PATH=/packages/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONPATH=/shop:/shop/apps \
    DJANGO_SETTINGS_MODULE=project.settings

WORKDIR /shop

COPY --from=packages /packages /packages
COPY manage.py ./
COPY project project
COPY apps apps

# collectstatic needs settings but no secret and no database: these values stay in this one step.
RUN SECRET_KEY=unused DATABASE_URL=sqlite://:memory: python manage.py collectstatic --noinput \
    && useradd --system --uid 10001 --no-create-home shop

USER shop
EXPOSE 8000

CMD ["gunicorn", "project.wsgi", "--bind=0.0.0.0:8000", "--workers=2", "--access-logfile=-", "--no-control-socket"]
