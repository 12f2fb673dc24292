// Would stand between the browser and every later answer.
