"""One task of each library; none of them is installed, and nothing imports this file."""

import dramatiq
import procrastinate
from apscheduler.schedulers.background import BackgroundScheduler
from background_task import background
from django.tasks import task
from django_q.tasks import async_task
from huey.contrib.djhuey import db_task
from station.huey import line

app = procrastinate.App()
scheduler = BackgroundScheduler()


@task(queue_name="slow")
def depart(train):
    return train


@dramatiq.actor(actor_name="brake-now")
def brake(train):
    return train


@db_task()
def whistle(train):
    return train


@line.task(retries=2)
def ring(train):
    return train


@background(schedule=60)
def announce(train):
    return train


@app.task(name="clean")
def clean(train):
    return train


@scheduler.scheduled_job("interval", minutes=5)
def look_out():
    return None


def polish(train):
    return train


def arrive(train):
    depart.enqueue(train)
    depart.using(priority=5).enqueue(train)
    brake.send(train)
    whistle(train)
    ring.schedule((train,), delay=60)
    announce(train)
    clean.defer(train=train)
    scheduler.add_job(polish, args=[train])
    async_task("station.trains.work.polish", train)
